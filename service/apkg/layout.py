"""What an Anki collection of schema 11 looks like: its tables, and the JSON of decks and note types in it."""

from __future__ import annotations

from collections.abc import Mapping

from service.apkg.notes import NoteKind
from service.apkg.templates import needed

SCHEMA = """
create table col (
  id integer primary key, crt integer not null, mod integer not null, scm integer not null, ver integer not null,
  dty integer not null, usn integer not null, ls integer not null, conf text not null, models text not null,
  decks text not null, dconf text not null, tags text not null
);
create table notes (
  id integer primary key, guid text not null, mid integer not null, mod integer not null, usn integer not null,
  tags text not null, flds text not null, sfld integer not null, csum integer not null, flags integer not null,
  data text not null
);
create table cards (
  id integer primary key, nid integer not null, did integer not null, ord integer not null, mod integer not null,
  usn integer not null, type integer not null, queue integer not null, due integer not null, ivl integer not null,
  factor integer not null, reps integer not null, lapses integer not null, left integer not null,
  odue integer not null, odid integer not null, flags integer not null, data text not null
);
create table revlog (
  id integer primary key, cid integer not null, usn integer not null, ease integer not null, ivl integer not null,
  lastIvl integer not null, factor integer not null, time integer not null, type integer not null
);
create table graves (usn integer not null, oid integer not null, type integer not null);
create index ix_notes_usn on notes (usn);
create index ix_cards_usn on cards (usn);
create index ix_revlog_usn on revlog (usn);
create index ix_cards_nid on cards (nid);
create index ix_cards_sched on cards (did, queue, due);
create index ix_revlog_cid on revlog (cid);
create index ix_notes_csum on notes (csum);
"""

CONFIGURATION: Mapping[str, object] = {
    "id": 1,
    "name": "Default",
    "mod": 0,
    "usn": 0,
    "maxTaken": 60,
    "timer": 0,
    "autoplay": True,
    "replayq": True,
    "dyn": False,
    "new": {"delays": [1, 10], "ints": [1, 4, 7], "initialFactor": 2500, "perDay": 20, "order": 1, "bury": False},
    "rev": {"perDay": 200, "ease4": 1.3, "ivlFct": 1, "maxIvl": 36500, "hardFactor": 1.2, "bury": False},
    "lapse": {"delays": [10], "mult": 0, "minInt": 1, "leechFails": 8, "leechAction": 0},
}


def deck_of(deck_id: int, name: str, now_s: int) -> Mapping[str, object]:
    """A deck."""
    nothing = [0, 0]
    return {
        "id": deck_id,
        "name": name,
        "mod": now_s,
        "usn": -1,
        "conf": 1,
        "desc": "",
        "dyn": 0,
        "collapsed": False,
        "browserCollapsed": False,
        "extendNew": 0,
        "extendRev": 0,
        "newToday": nothing,
        "revToday": nothing,
        "lrnToday": nothing,
        "timeToday": nothing,
    }


def model_of(kind: NoteKind, now_s: int) -> Mapping[str, object]:
    """A note type."""
    return {
        "id": kind.id,
        "name": kind.name,
        "type": int(kind.is_cloze),
        "mod": now_s,
        "usn": -1,
        "sortf": 0,
        "did": 1,
        "flds": [
            {"name": name, "ord": ord_, "sticky": False, "rtl": False, "font": "Arial", "size": 20, "media": []}
            for ord_, name in enumerate(kind.fields)
        ],
        "tmpls": [
            {
                "name": template.name,
                "ord": ord_,
                "qfmt": template.question,
                "afmt": template.answer,
                "bqfmt": "",
                "bafmt": "",
                "did": None,
            }
            for ord_, template in enumerate(kind.templates)
        ],
        "req": [[ord_, "any", needed(template.question, kind.fields)] for ord_, template in enumerate(kind.templates)],
        "css": kind.css,
        "latexPre": "\\documentclass[12pt]{article}\n\\begin{document}\n",
        "latexPost": "\\end{document}",
        "tags": [],
        "vers": [],
        **({"originalStockKind": 6} if kind.is_occlusion else {}),
    }
