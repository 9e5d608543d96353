"""Letters by language, and which of these each encoding is used for: what tells encodings from each other."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from functools import cache

_GERMAN, _FRENCH, _SPANISH = "äöüß", "àâæçéèêëîïôœùûüÿ", "áéíñóúü¡¿ªº"
_PORTUGUESE, _ITALIAN, _DUTCH = "áàâãçéêíóôõúü", "àèéìíòóùú", "ëïéèöüáó"
_SWEDISH, _NORWEGIAN, _ICELANDIC = "åäöé", "æøåéòó", "áðéíóúýþæö"
_FINNISH, _CATALAN, _ESTONIAN = "äöåšž", "àçéèíïóòúü·", "äõöüšž"
_WESTERN = (
    _GERMAN, _FRENCH, _SPANISH, _PORTUGUESE, _ITALIAN, _DUTCH, _SWEDISH, _NORWEGIAN, _ICELANDIC, _CATALAN,
    _FINNISH, _ESTONIAN,
)  # fmt: skip
_CENTRAL = (
    "ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "ăâîșțşţ", "čćđšž", _GERMAN, "ëç",
)  # fmt: skip
_BALTIC = ("ąčęėįšųūž", "āčēģīķļņšūž", _ESTONIAN)
_TURKISH = ("çğıi̇öşüâî", "əçğıi̇öşü")
_CYRILLIC = ("абвгдеёжзийклмнопрстуфхцчшщъыьэюя", "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя", "абвгдђежзијклљмнњопрстћуфхцчџш")
_GREEK = ("αβγδεζηθικλμνξοπρςστυφχψωάέήίόύώϊϋΐΰ",)
_HEBREW = ("אבגדהוזחטיךכלםמןנסעףפץצקרשת",)
_ARABIC = ("ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىي",)
_THAI = ("".join(chr(c) for c in range(0x0E01, 0x0E4F)),)

ALPHABETS: Mapping[str, tuple[str, ...]] = {
    "cp1252": _WESTERN, "cp1250": _CENTRAL, "cp1251": _CYRILLIC, "iso8859_2": _CENTRAL, "iso8859_15": _WESTERN,
    "cp1254": _TURKISH, "cp1257": _BALTIC, "cp1253": _GREEK, "koi8_r": _CYRILLIC[:1], "koi8_u": _CYRILLIC[1:2],
    "cp866": _CYRILLIC[:1], "iso8859_5": _CYRILLIC, "mac_roman": _WESTERN, "cp850": _WESTERN, "cp437": _WESTERN,
    "cp852": _CENTRAL, "iso8859_7": _GREEK, "cp1255": _HEBREW, "cp1256": _ARABIC, "iso8859_6": _ARABIC,
    "cp874": _THAI, "iso8859_9": _TURKISH, "iso8859_13": _BALTIC, "iso8859_4": _BALTIC, "mac_cyrillic": _CYRILLIC,
    "mac_latin2": _CENTRAL, "cp857": _TURKISH, "cp855": _CYRILLIC,
}  # fmt: skip
SINGLE_BYTE = tuple(ALPHABETS)
"""From frequent to rare."""

FREQUENT: Mapping[str, str] = {
    _ICELANDIC: "áíéóöðæ",
    _TURKISH[0]: "ışğüçöi̇",
    _CYRILLIC[0]: "оеаинтсрвлкмдпуыья",
    _CYRILLIC[1]: "оаинтвреіслкмдпуьяї",
    _CYRILLIC[2]: "аеиојнсртувкмдплбзј",
    _GREEK[0]: "αοιετσνηυρπκμλςόίάήέ",
    _HEBREW[0]: "יוהלאמרתבשנםד",
    _ARABIC[0]: "اليمونرتبةعدسفهكأقح",
    _THAI[0]: "านรกอเงมยลวดทสตะปบคหแจพชขใไโ่้ัิีุู์",
}
PUNCTUATION = "–—‘’“”„‚…«»‹›•·§°€£¥¢©®™±×²³¹½¼¾µº ª\xa0¿¡№␣"


_JAPANESE_TOP = frozenset(
    "東京都大阪市県区町村山田中本川上下前後日年月名氏所住電話番号会社員学校高橋鈴木佐藤伊渡辺小林加吉松井北海道島福岡"
    "神奈横浜千葉埼玉愛知兵庫広一二三四五六七八九十太郎子美人女男性生国内外時分間数量価格品商店売買金円支払受注文"
)
_SIMPLIFIED_TOP = frozenset(
    "的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可里后小么心多天而能好都"
    "然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经面公同三已从动两长知民样现分将外但身与高意进把法此实回二理"
    "月明其种全工者向情部正名定女问力机等业最间新位电四第门相次东海口西平世信北少关内加化代产入先山五太水万市区县省镇街路号"
    "王李张刘陈杨赵黄周吴广州京南江河湖编码姓性别城商品价格数量单类型额"
)
_TRADITIONAL_TOP = frozenset(
    "的一是不了在人有我他這中大來上國個到說們為子和你地出道也時年得就那要下以生會自著去之過家學對可裡後小麼心多天而能好都"
    "然沒日於起還發成事只作當想看文無開手十用主行方又如前所本見經面公同三已從動兩長知民樣現分將外但身與高意進把法此實回二理"
    "月明其種全工者向情部正名定女問力機等業最間新位電四第門相次東海口西平世信北少關內加化代產入先山五太水萬市區縣鄉鎮街路號"
    "王李張劉陳楊趙黃周吳臺灣北高雄編碼姓性別城商品價格數量單類型額"
)


@cache
def _hanzi(c: str, codec: str, first: int, last: int) -> bool:
    try:
        return first <= c.encode(codec)[0] <= last
    except UnicodeEncodeError:
        return False


@cache
def _block(c: str) -> str:
    if "\u3040" <= c <= "\u30ff":
        return "kana"
    if "\uff61" <= c <= "\uff9f":
        return "half"
    if "\uac00" <= c <= "\ud7a3":
        return "hangul"
    if "\u3000" <= c <= "\u303f" or "\uff00" <= c <= "\uff60" or c in "·“”‘’…—":
        return "mark"
    if unicodedata.category(c) == "Lo" and "\u4e00" <= c <= "\u9fff":
        return "han"
    return "other"


def _japanese(c: str) -> str:
    if c in _JAPANESE_TOP:
        return "top"
    return "often" if (kind := _block(c)) == "han" and _hanzi(c, "euc_jp", 0xB0, 0xCF) else kind


def _simplified(c: str) -> str:
    if c in _SIMPLIFIED_TOP:
        return "top"
    return "often" if (kind := _block(c)) == "han" and _hanzi(c, "gb2312", 0xB0, 0xD7) else kind


def _traditional(c: str) -> str:
    if c in _TRADITIONAL_TOP:
        return "top"
    return "often" if (kind := _block(c)) == "han" and _hanzi(c, "big5", 0xA4, 0xC6) else kind


def _korean(c: str) -> str:
    return "often" if (kind := _block(c)) == "hangul" and _hanzi(c, "euc_kr", 0xB0, 0xC8) else kind


_JAPANESE: Mapping[str, float] = {"top": 1.6, "kana": 1.9, "often": 0.9, "mark": 0.8, "half": -0.6, "han": 0.0}
MULTIBYTE: Mapping[str, tuple[Callable[[str], str], Mapping[str, float]]] = {
    "cp932": (_japanese, _JAPANESE),
    "gb18030": (_simplified, {"top": 1.7, "often": 1.0, "mark": 0.8, "kana": -0.2, "han": -0.2}),
    "euc_kr": (_korean, {"often": 1.4, "mark": 0.8, "han": -0.6}),
    "big5": (_traditional, {"top": 1.7, "often": 1.0, "mark": 0.8, "han": -0.3, "kana": -0.3}),
    "euc_jp": (_japanese, _JAPANESE),
}
"""By encoding: how a character is classed, and what each class weighs."""
