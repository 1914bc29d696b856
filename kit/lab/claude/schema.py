"""The tables of the server's own database. Times are milliseconds since 1970; keys are kept as their digests."""

SQL = """
create table if not exists keys (
    digest text primary key,
    project_id text not null,
    rate_limit integer not null,
    profile text,
    created_at integer not null
);

create table if not exists projects (
    id text primary key,
    monthly_token_limit integer
);

create table if not exists usage (
    seq integer primary key autoincrement,
    digest text not null,
    project_id text not null,
    kind text not null,
    model text not null,
    input_tokens integer not null,
    output_tokens integer not null,
    cost real not null,
    request_id text not null,
    at integer not null
);
create index if not exists usage_of_project on usage (project_id, at);
"""
