"""The tables of the server's database."""

from __future__ import annotations

SQL = """
pragma wal_autocheckpoint = 8000;
create table if not exists basins (
    id integer primary key autoincrement,
    name text not null unique,
    config text not null,
    location text,
    created text not null,
    deleted text,
    gone_at integer,
    request text,
    asked text
);
create table if not exists streams (
    id integer primary key autoincrement,
    basin integer not null,
    name text not null,
    config text not null,
    cipher text,
    created text not null,
    deleted text,
    gone_at integer,
    request text,
    asked text,
    next integer not null default 0,
    time integer not null,
    fence text not null default '',
    trim integer not null default 0,
    size integer not null default 0,
    touched integer not null,
    unique (basin, name)
);
create table if not exists chunks (
    stream integer not null,
    first integer not null,
    count integer not null,
    first_time integer not null,
    last_time integer not null,
    size integer not null,
    expires integer,
    data blob not null
);
create unique index if not exists chunk_places on chunks (stream, first);
create index if not exists chunk_times on chunks (stream, last_time, first);
create index if not exists chunk_ends on chunks (expires) where expires is not null;
create index if not exists stream_ends on streams (gone_at) where gone_at is not null;
create index if not exists stream_empty on streams (touched) where size = 0;
create table if not exists tokens (
    id text primary key,
    hash blob not null unique,
    told text not null,
    expires integer
);
create table if not exists settings (name text primary key, value text not null);
create table if not exists usage (
    minute integer not null,
    basin text not null,
    stream text not null,
    kind text not null,
    total integer not null,
    primary key (minute, basin, stream, kind)
) without rowid;
"""

_SHIFT = 2**63


def stored_time(time: int) -> int:
    """Return an unsigned 64-bit time as SQLite's signed integer, in the same order."""
    return time - _SHIFT


def time_of(stored: int) -> int:
    return stored + _SHIFT
