"""The tables of the server's own database. Times are milliseconds since 1970."""

SQL = """
create table if not exists pages (
    seq integer primary key autoincrement,
    id text unique not null,
    status text not null,
    body text not null,
    words text not null,
    created_at integer not null,
    updated_at integer not null
);
create index if not exists pages_newest on pages (created_at, seq);

create table if not exists sessions (
    seq integer primary key autoincrement,
    id text unique not null,
    profile_id text not null,
    task text not null,
    input_params text not null,
    status text not null,
    position integer not null default 0,
    step text not null default '',
    steps integer not null,
    result text,
    error text,
    input_request text,
    turns integer not null default 0,
    input_tokens integer not null default 0,
    output_tokens integer not null default 0,
    events integer not null default 0,
    words text not null,
    created_at integer not null,
    updated_at integer not null
);
create index if not exists sessions_newest on sessions (created_at, seq);

create table if not exists events (
    session_id text not null,
    id integer not null,
    type text not null,
    body text not null,
    primary key (session_id, id)
) without rowid;

create table if not exists artifacts (
    id text primary key,
    session_id text not null,
    artifact_type text not null,
    title text not null,
    status text not null,
    current_version integer not null,
    content text not null
) without rowid;

create table if not exists webhooks (
    seq integer primary key autoincrement,
    id text unique not null,
    url text not null,
    events text not null,
    description text,
    active integer not null,
    secret text not null,
    status text not null,
    words text not null,
    failure_count integer not null default 0,
    last_error text,
    last_delivery_at integer,
    created_at integer not null,
    updated_at integer not null
);
create index if not exists webhooks_newest on webhooks (created_at, seq);

create table if not exists deliveries (
    seq integer primary key autoincrement,
    id text unique not null,
    webhook_id text not null,
    event text not null,
    body blob not null,
    status text not null,
    attempts integer not null default 0,
    last_error text,
    words text not null default '',
    created_at integer not null,
    updated_at integer not null
);
create index if not exists deliveries_waiting on deliveries (webhook_id, seq) where status = 'pending';
"""
