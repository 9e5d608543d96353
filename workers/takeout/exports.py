"""Watch histories as JSON: `watch-history.json`, `MyActivity.json`; an array of entries, newest first.

A title is a sentence in the account's language around the video's own: "Watched X", "X angesehen". The words around it
are found by what the file's titles have in common, else by the sentences that are known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from workers.takeout.dates import since_1970
from workers.takeout.events import Entry, Link, unwrapped, video_id_of

SENTENCES = (
    "Watched {}",
    "{} angesehen",
    "Vous avez regardé {}",
    "Has visto {}",
    "Hai guardato {}",
    "{} を視聴しました",
    "{} 을(를) 시청했습니다.",
    "Просмотрено видео {}",
    "Je hebt naar {} gekeken",
    "Tittade på {}",
    "Så på {}",
    "Så {}",
    "{} adlı videoyu izlediniz",
    "تمت مشاهدة {} .",
    "{} izlənildi",
    "{} দেখা হয়েছে",
    "را تماشا کردید {}",
    "Pinanood ang {}",
    "{} देखा",
    "{} دیکھی",
    "Ați vizionat {}",
    "Obejrzano: {}",
    "Ви дивилися відео {}",
    "Παρακολουθήσατε το βίντεο {}",
    "{} katsottiin",
    "Zhlédli jste video {}",
    "Гледахте {}",
    "Megtekintette a következőt: {}",
)
COMMON_FROM = 8
"""So many titles must share words before these are believed to be the sentence's."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """The words in front of a video's title and behind it."""

    before: str
    behind: str

    def title(self, text: str) -> str:
        """The title within the sentence; the whole text if it is another sentence."""
        if not (text.startswith(self.before) and text.endswith(self.behind)):
            return text
        return text[len(self.before) : len(text) - len(self.behind)].strip()


def sentence_of(titles: Sequence[str]) -> Sentence:
    """What the titles of watched videos have around them."""
    plain = [_plain(title) for title in titles]
    known = Counter(form for title in plain for form in SENTENCES if _fits(title, form))
    form, count = known.most_common(1)[0] if known else ("{}", 0)
    if count >= len(plain) / 2 or len(plain) < COMMON_FROM:
        before, _, behind = form.partition("{}")
        return Sentence(before, behind)
    before = _shared(plain)
    behind = _shared([title[len(before) :][::-1] for title in plain])[::-1]
    # Whole words only: "Watched The …" in every title may be chance, half a word certainly is.
    return Sentence(before[: before.rfind(" ") + 1], behind[behind.find(" ") :] if " " in behind else "")


def is_watched(value: object) -> bool:
    """Whether this entry's title is a sentence about a video."""
    if not isinstance(value, Mapping) or not isinstance(value.get("title"), str):
        return False
    return video_id_of(unwrapped(str(value.get("titleUrl", "")))) is not None


def entry_of(value: Any, sentence: Sentence) -> Entry | str:
    """One entry; why it is none, as words for its reject, if it lacks what every entry has."""
    if not isinstance(value, Mapping):
        return "An entry is an object with title and time."
    if "snippet" in value:  # before 2017
        value = _of_2017(value)
    title, moment = value.get("title"), value.get("time")
    if not isinstance(title, str) or not isinstance(moment, str):
        return "The entry has no title or no time."
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        return f"{moment[:40]!r} is no time."
    url = value.get("titleUrl")
    what = Link(sentence.title(_plain(title)), url if isinstance(url, str) else None)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    # Pages have whole seconds, and both forms of a history are to give the same.
    return Entry(what, _channel(value), since_1970(at), str(value.get("header") or "YouTube"), _is_ad(value))


def _channel(value: Mapping[str, Any]) -> Link | None:
    subtitles = value.get("subtitles")
    if not (isinstance(subtitles, list) and subtitles and isinstance(subtitles[0], Mapping)):
        return None
    name, url = subtitles[0].get("name"), subtitles[0].get("url")
    return Link(_plain(name), url if isinstance(url, str) else None) if isinstance(name, str) else None


def _is_ad(value: Mapping[str, Any]) -> bool:
    details = value.get("details")
    names = [str(d.get("name")) for d in details if isinstance(d, Mapping)] if isinstance(details, list) else []
    return any("Google Ads" in name for name in names)


def _of_2017(value: Mapping[str, Any]) -> Mapping[str, Any]:
    snippet = value["snippet"] if isinstance(value["snippet"], Mapping) else {}
    content = value.get("contentDetails")
    video_id = content.get("videoId") if isinstance(content, Mapping) else None
    url = f"https://www.youtube.com/watch?v={video_id}" if video_id else None
    return {"title": snippet.get("title"), "time": snippet.get("publishedAt"), "titleUrl": url}


def _shared(texts: Sequence[str]) -> str:
    """What all of them begin with."""
    low, high = min(texts), max(texts)
    same = next((at for at, (one, other) in enumerate(zip(low, high, strict=False)) if one != other), len(low))
    return low[:same]


def _fits(title: str, form: str) -> bool:
    before, _, behind = form.partition("{}")
    return title.startswith(before) and title.endswith(behind) and len(title) > len(before) + len(behind)


def _plain(text: str) -> str:
    return text.replace("\u00a0", " ").strip()
