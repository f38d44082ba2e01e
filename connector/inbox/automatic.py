"""Marks of mail that no person wrote.

Lives here: the tables of marks, strongest first, and the subjects of automatic answers in many languages. Does not
live here: the order of the kinds of mail (`classify`).

Each row names a header, what its value must match, and where that is said. `X-Auto-Response-Suppress` is in no
table: it asks others not to answer by machine, and people's own mail carries it too (MS-OXCMAIL;
sisimai 491). Neither is `X-MS-Exchange-Inbox-Rules-Loop` by itself: it stays on a person's mail that a rule passed on.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from connector.inbox.headers import first, keyword, values
from connector.ports import MailReceived

#: Only an automatic answer carries these.
ANSWER_HEADERS: tuple[tuple[str, str], ...] = (
    ("auto-submitted", r"auto-replied\b"),  # RFC 3834 section 5
    ("x-autoreply", r"(?!(?:no|false|0)$)"),  # Gmail vacation, cPanel
    ("x-autoreply-from", r""),  # osTicket's list of what help desks meet; so the next two and x-autoresponse
    ("x-autorespond", r"(?!(?:no|false|0)$)"),  # cPanel too
    ("x-autoresponder", r"(?!(?:no|false|0)$)"),
    ("x-autoresponse", r"(?!(?:no|false|0)$)"),
    ("x-auto-reply-from", r""),
    ("x-mail-autoreply", r""),
    ("delivered-to", r"autoresponder\b"),
    ("x-post-messageclass", r"9; *autoresponder"),
    ("precedence", r"auto[_-]reply\b"),  # apis 4.2
)

#: A machine sent it; whether in answer is not said. RFC 3834: whatever is not "no" is automatic.
GENERATED_HEADERS: tuple[tuple[str, str], ...] = (
    ("auto-submitted", r"(?!no\b)\S"),
    ("x-ms-exchange-generated-message-source", r""),  # an agent of Exchange: transport rule, quarantine, journal
    ("x-fc-machinegenerated", r"true\b"),  # FirstClass
)

#: Mailings and gateways carry these, and so does a person's mail that went through one (a Google group, a list).
MAILING_HEADERS: tuple[tuple[str, str], ...] = (
    ("precedence", r"(?:bulk|junk|list)\b"),  # apis 4.2
    ("list-id", r""),  # RFC 2919
    ("list-unsubscribe", r""),  # RFC 2369
    ("feedback-id", r""),  # what bulk senders sign for Gmail's complaint loop
)

#: Nobody reads what is sent there, so hardly anybody writes from there.
_NO_REPLY = re.compile(r"(?:.*[-_.+])?(?:no|do[-_.]?not|dont)[-_.]?reply(?:[-_.+].*)?", re.IGNORECASE)

#: How automatic answers begin their subjects, lower case. A colon, a dash, a bracket or the end follows.
AUTOMATIC_SUBJECTS: tuple[str, ...] = (
    # English. The first is that of Exchange; so are the firsts of the other languages.
    "automatic reply",
    "automated reply",
    "automated response",
    "automatic response",
    "auto reply",
    "auto-reply",
    "autoreply",
    "auto response",
    "auto-response",
    "autoresponse",
    "out of office",
    "out-of-office",
    "out of office autoreply",  # Exchange 2003
    "out of office reply",
    "out of the office",
    "vacation reply",
    "vacation response",
    "vacation message",
    # German
    "automatische antwort",
    "automatische abwesenheitsnotiz",
    "abwesenheitsnotiz",
    "abwesenheitsmeldung",
    "abwesenheitsbenachrichtigung",
    "abwesenheitsassistent",
    "abwesend",
    "nicht im büro",
    # French
    "réponse automatique",
    "réponse automatique d'absence",
    "absence du bureau",
    "message d'absence",
    "notification d'absence",
    "absent du bureau",
    # Spanish
    "respuesta automática",
    "respuesta automatica",
    "fuera de la oficina",
    "fuera de oficina",
    "ausente de la oficina",
    # Portuguese, Galician; Catalan, Basque
    "resposta automática",
    "ausência temporária",
    "fora do escritório",
    "ausente do escritório",
    "resposta automàtica",
    "erantzun automatikoa",
    # Italian
    "risposta automatica",
    "fuori sede",
    "fuori ufficio",
    "assente dall'ufficio",
    # Dutch
    "automatisch antwoord",
    "afwezigheidsbericht",
    "afwezig",
    "niet aanwezig",
    # Swedish, Danish, Norwegian, Icelandic
    "autosvar",
    "automatiskt svar",
    "automatisk svar",
    "frånvaromeddelande",
    "frånvarande",
    "fraværsmelding",
    "fraværende",
    "ikke til stede",
    "sjálfvirkt svar",
    # Finnish, Estonian, Latvian, Lithuanian
    "automaattinen vastaus",
    "poissaoloilmoitus",
    "automaatvastus",
    "automaatne vastus",
    "automātiska atbilde",
    "automātiskā atbilde",
    "automatinis atsakymas",
    # Polish, Czech, Slovak, Hungarian, Romanian
    "odpowiedź automatyczna",
    "automatyczna odpowiedź",
    "poza biurem",
    "automatická odpověď",
    "mimo kancelář",
    "automatická odpoveď",
    "automatikus válasz",
    "házon kívül",
    "răspuns automat",
    # Slovenian, Croatian, Serbian, Macedonian, Bulgarian
    "samodejni odgovor",
    "automatski odgovor",
    "аутоматски одговор",
    "автоматски одговор",
    "автоматичен отговор",
    # Russian, Ukrainian, Greek, Turkish
    "автоматический ответ",
    "автоответ",
    "автоматична відповідь",
    "αυτόματη απάντηση",
    "otomatik yanıt",  # noqa: RUF001 - Turkish
    "ofis dışında",  # noqa: RUF001 - Turkish
    # Hebrew, Arabic, Persian
    "תשובה אוטומטית",
    "מענה אוטומטי",
    "رد تلقائي",
    "الرد التلقائي",
    "پاسخ خودکار",
    # Hindi, Thai, Vietnamese, Indonesian, Malay
    "स्वचालित उत्तर",
    "ตอบกลับอัตโนมัติ",
    "การตอบกลับอัตโนมัติ",
    "trả lời tự động",
    "thư trả lời tự động",
    "balasan otomatis",
    "balasan automatik",
    # Japanese, Chinese, Korean
    "自動応答",
    "自動返信",
    "不在通知",
    "自动答复",
    "自动回复",
    "自動回覆",
    "자동 회신",
    "자동 응답",
    "부재중",
)

#: Warnings that the rep's own mail system puts before a subject. Stars are taken all at once, or a subject of many
#: stars would be tried in every way of sharing them out.
_WARNING = r"(?:\[[^\]]{1,20}\]\s*|\*++[^*]{1,20}\*++\s*|ext(?:ernal)?:\s*)*"
#: HCL Notes: capital letters, and in English the return in brackets.
_NOTES_SUBJECT = re.compile(rf"\s*{_WARNING}AUTO: \S")
#: An assistant may write this, and so did Notes before it had marks.
_ABSENT_SUBJECT = re.compile(r"[^:]{1,60} is (?:currently )?out of (?:the )?office\.?(?:\s*\(.*\))?", re.IGNORECASE)


@cache
def _automatic_subject() -> re.Pattern[str]:
    """Return the pattern of them all, made when the first mail is judged: every command would wait for it."""
    return re.compile(
        rf"\s*{_WARNING}\[?(?:{'|'.join(re.escape(words) for words in AUTOMATIC_SUBJECTS)})\]?"
        r"\s*(?:[:;\u2013\u2014(\uff1a\uff08]|-\s|$|(?<=\])|re:)",
        re.IGNORECASE,
    )


def answered_by_machine(mail: MailReceived) -> str:
    """Return why a mail is an automatic answer of a person's own mailbox, as a clause; "" if no mark says so."""
    marked = _marked(mail, ANSWER_HEADERS)
    if marked:
        return marked
    subject = unicodedata.normalize("NFC", " ".join(mail.subject.split()))
    if _automatic_subject().match(subject) or _NOTES_SUBJECT.match(subject):
        return "its subject is that of an automatic answer"
    if mail.sender.email and mail.sender.email.lower() in _ran_rules(mail):
        # Out-of-office answers and answers by rule; Exchange names the mailbox whose rule it was.
        return "a rule of the sender's own mailbox wrote it (x-ms-exchange-inbox-rules-loop)"
    return ""


def passed_on_by_rule(mail: MailReceived) -> str:
    """Return why a mail is one that a rule of another mailbox redirected; "" if not.

    Exchange then marks it as generated, whoever wrote it.
    """
    rules = _ran_rules(mail)
    return f"a rule of {rules[0]} passed it on, and marked it as automatic" if rules else ""


def generated(mail: MailReceived) -> str:
    """Return why a mail is one that a machine sent, as a clause; "" if no mark says so."""
    return _marked(mail, GENERATED_HEADERS)


def maybe_automatic(mail: MailReceived) -> str:
    """Return a weak mark, as a clause: mailings bear it, and some mail of people too; "" if there is none."""
    if _NO_REPLY.fullmatch(mail.sender.email.partition("@")[0]):
        return f"{mail.sender.email} takes no answers"
    return _marked(mail, MAILING_HEADERS)


def tells_absence(mail: MailReceived) -> str:
    """Return why a subject tells that somebody is away, which both machines and assistants write; "" if not."""
    if _ABSENT_SUBJECT.fullmatch(" ".join(mail.subject.split())):
        return "its subject tells that somebody is away, and it bears no mark"
    return ""


def _marked(mail: MailReceived, marks: tuple[tuple[str, str], ...]) -> str:
    for name, pattern in marks:
        for value in values(mail, name):
            if re.match(pattern, value, re.IGNORECASE):
                return f"its header {name} says {keyword(value)}" if pattern else f"it carries the header {name}"
    return ""


def _ran_rules(mail: MailReceived) -> list[str]:
    return first(mail, "x-ms-exchange-inbox-rules-loop").lower().replace(",", " ").replace(";", " ").split()
