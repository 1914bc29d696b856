"""The names, sentences and weights of the demo table. All of them are invented."""

from __future__ import annotations

WEEKDAYS = (120, 125, 118, 112, 90, 28, 22)
HOURS = (2, 1, 1, 1, 2, 4, 9, 22, 48, 72, 80, 76, 58, 66, 78, 74, 64, 46, 26, 16, 11, 8, 5, 3)
INCIDENT_DAYS = (100, 130, 115, 70, 40, 12, 6)
CHANNELS = ("email", "call", "chat", "meeting", "ticket", "social")
OFFICE_MIX = (340, 200, 240, 80, 100, 40)
EVENING_MIX = (420, 30, 300, 0, 110, 140)
KINDS = ("question", "request", "complaint", "praise", "feedback", "purchase", "renewal", "cancellation")
KIND_MIX = {
    "email": (300, 220, 150, 70, 100, 60, 70, 30),
    "call": (260, 200, 220, 40, 80, 90, 80, 30),
    "chat": (420, 180, 160, 80, 110, 30, 10, 10),
    "meeting": (120, 200, 40, 90, 230, 110, 180, 30),
    "ticket": (250, 380, 280, 10, 70, 0, 0, 10),
    "social": (220, 60, 260, 320, 130, 0, 0, 10),
}
MOODS = (40, 70, -550, 740, 130, 420, 370, -480)
RESOLVED = (93, 86, 72, 99, 96, 99, 98, 84)
STEMS = (
    "Velmora", "Tarnwick", "Ostrelle", "Kelbrock", "Junivale", "Pellister", "Quorrin", "Sundrell", "Brenholt",
    "Caldessa", "Dovanti", "Eskarra", "Fenlocke", "Grellow", "Halvorne", "Imberton", "Larkmere", "Mossgrave",
    "Norrivale", "Zephrane",
)  # fmt: skip
TRADES = ("Logistics", "Foods", "Dental", "Textiles", "Robotics", "Travel", "Energy", "Instruments")
FIRST = (
    "Ada", "Bruno", "Carla", "Dmitri", "Elena", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kavya", "Leon", "Mara",
    "Nils", "Olive", "Pablo", "Rosa", "Sami", "Tessa", "Umar", "Vera", "Wanda", "Yusuf", "Zoe",
)  # fmt: skip
LAST = (
    "Abelson", "Brandvik", "Castellan", "Drummer", "Eriksdal", "Fontaneau", "Grunwick", "Halloran", "Ivarsen",
    "Jankovic", "Kestrel", "Lindqvale", "Moreno", "Nakagami", "Okonjo", "Petrescu", "Quillfeather", "Rosmarin",
    "Stellwag", "Tamboril",
)  # fmt: skip
TOPICS = (
    "the export", "billing", "the login", "the dashboard", "the integration", "the mobile app", "user permissions",
    "the monthly report", "delivery times", "onboarding",
)  # fmt: skip
TOPIC_TAGS = (
    "export", "billing", "login", "dashboard", "integration", "mobile", "permissions", "reports", "delivery",
    "onboarding",
)  # fmt: skip
TEXTS = {
    "question": (
        "{person} asks how {topic} works for a larger team.",
        "{person} wants to know whether {topic} can be scheduled.",
        "{person} from {account} asks where to find the settings for {topic}.",
        "{person} asks if {topic} is part of the current plan.",
        "{person} would like an example for {topic}.",
    ),
    "request": (
        "{person} requests a change to {topic} before the end of the month.",
        "{person} asks for a second approver on {topic}.",
        "{account} needs {topic} in two more languages.",
        "{person} asks us to set up {topic} for a new site.",
        "{person} requests a call back about {topic}.",
    ),
    "complaint": (
        "{person} reports that {topic} has been slow since yesterday.",
        "{person} is unhappy with {topic} and expects an answer today.",
        "{account} cannot use {topic}, an error appears each time.",
        "{person} has written twice about {topic} without a reply.",
        "{person} says {topic} shows different figures than last week.",
    ),
    "praise": (
        "{person} says {topic} saves the team hours each week.",
        "{person} thanks support for the quick help with {topic}.",
        "{account} is very happy with {topic}.",
        "{person} recommends us because of {topic}.",
    ),
    "feedback": (
        "{person} suggests a shortcut for {topic}.",
        "{person} finds {topic} good, but would like more filters.",
        "{account} shares notes from a workshop about {topic}.",
        "{person} compares {topic} with the tool used before.",
    ),
    "purchase": (
        "{person} orders additional seats and asks about {topic}.",
        "{account} buys the add-on for {topic}.",
        "{person} confirms the order after a demo of {topic}.",
    ),
    "renewal": (
        "{person} renews the contract for another year.",
        "{account} extends the agreement, with {topic} included.",
        "{person} agrees to the renewal after a talk about {topic}.",
    ),
    "cancellation": (
        "{person} cancels a part of the contract because of {topic}.",
        "{account} gives notice and names {topic} as the reason.",
        "{person} wants to end the trial.",
    ),
}
INCIDENT_TEXTS = (
    "{person} reports that the export fails since Monday's update.",
    "{person} gets an empty file from every export.",
    "{account} cannot export at all and has a deadline this week.",
    "{person} asks for the third time when the export will work again.",
    "{person} sees the message E-4410 on each export.",
)
