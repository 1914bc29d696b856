"""What is stored on disk: values, queues and their messages, rooms and their events.

Topics store nothing. Subscribers' offsets in rooms are not stored either: a subscriber says itself where to continue.
"""

SQL = """
create table if not exists pairs (
    key text primary key,
    value blob not null,
    expires integer
) without rowid;

create table if not exists queues (
    name text primary key,
    max_depth integer not null,
    ack_deadline integer not null,
    max_retries integer not null,
    priority integer not null,
    prefetch integer not null,
    figures text not null
) without rowid;

create table if not exists messages (
    id text primary key,
    queue text not null,
    place integer not null,
    lane integer not null,
    priority integer not null,
    retries integer not null,
    max_retries integer not null,
    created integer not null,
    payload blob not null
) without rowid;

create table if not exists rooms (
    generation integer primary key,
    name text not null,
    created integer not null,
    first integer not null,
    dropped integer not null
);

create table if not exists events (
    generation integer not null,
    offset integer not null,
    id text not null,
    event text not null,
    data blob not null,
    stamp integer not null,
    primary key (generation, offset)
) without rowid;

create table if not exists marks (
    name text primary key,
    value integer not null
) without rowid;
"""
