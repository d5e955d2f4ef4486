"""The PostgreSQL of the tests keeps what was committed, whatever is killed."""

from __future__ import annotations

import subprocess

from testkit.postgres import Postgres


def ask(postgres: Postgres, url: str, statement: str) -> str:
    """What psql prints."""
    command = [str(postgres._programs / "psql"), "-X", "-q", "-A", "-t", "-c", statement, url]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_each_test_gets_a_database_of_its_own(postgres: Postgres) -> None:
    one, two = postgres.new_database(), postgres.new_database()
    ask(postgres, one, "CREATE TABLE a (b int)")
    assert ask(postgres, two, "SELECT count(*) FROM pg_tables WHERE tablename = 'a'") == "0"
    postgres.drop_database(one)
    postgres.drop_database(two)


def test_what_was_committed_is_there_after_a_kill() -> None:
    postgres = Postgres()
    if postgres.given:
        return  # it isn't ours to kill
    try:
        url = postgres.start().new_database()
        ask(postgres, url, "CREATE TABLE a AS SELECT 1 AS b")
        for _ in range(3):
            postgres.kill()
            assert not postgres.healthy()
            postgres.start()
        assert ask(postgres, url, "SELECT b FROM a") == "1"
    finally:
        postgres.stop()
