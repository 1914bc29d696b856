"""The database of streams, tenants, keys and the audit log. SQL tables are in a separate database for each tenant."""

from __future__ import annotations

SQL = """
create table if not exists streams (
    id integer primary key autoincrement, tenant integer not null, number integer not null, name text not null,
    data_class integer not null, made integer not null, length integer not null default 0,
    bytes integer not null default 0, unique (tenant, number), unique (tenant, name)
);
create table if not exists chunks (
    stream integer not null, first integer not null, count integer not null, size integer not null,
    position integer not null, tenant integer not null, at integer not null, data blob not null,
    primary key (stream, first)
);
create index if not exists chunks_position on chunks (tenant, position);
create table if not exists tenants (id integer primary key, name text, made integer not null);
create table if not exists keys (
    id text primary key, hash blob not null unique, subject text not null, tenant integer not null, roles text not null,
    expires integer, revoked integer not null default 0
);
create table if not exists audit (
    n integer primary key, id text not null, at integer not null, action text not null, tenant integer not null,
    subject text, actor text, reason text, correlation text, request text, hash blob not null
);
create table if not exists consents (
    id text primary key, tenant integer not null, subject text not null, purpose integer not null,
    scope integer not null, granted integer not null, withdrawn integer, article integer, justification text,
    terms text, accepted integer not null
);
"""
"""A chunk holds the events of one append in their wire form; `size` counts the events alone."""
