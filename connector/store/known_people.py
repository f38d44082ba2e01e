"""Finding people who are known, to be put into a campaign.

Lives here: `search_people`. Does not live here: what else is known of them (`people`).
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import and_, exists, func, or_, select

from connector.people import Person
from connector.store.database import Transaction
from connector.store.dialects import any_of
from connector.store.schema import enrollments, people


def search_people(tx: Transaction, said: str, reps: Collection[str] | None, *, most: int) -> list[Person]:
    """Return people whose address, names or company begin with each word, by address.

    Only those who are or were in a campaign of these reps, or in nobody's; who opted out or bounced is left out.
    """
    conditions = [people.c.opted_out.is_(None), people.c.bounced.is_(None)]
    columns = (people.c.email, people.c.first_name, people.c.last_name, people.c.company)
    conditions += [
        or_(*(func.lower(column).startswith(word, autoescape=True) for column in columns))
        for word in said.lower().split()[:5]
    ]
    given = {}
    if reps is not None:
        of_person = enrollments.c.person == people.c.email
        own = exists().where(and_(of_person, any_of(enrollments.c.rep, "reps")))
        conditions.append(or_(own, ~exists().where(of_person)))
        given["reps"] = sorted(reps)
    query = select(*columns).where(*conditions).order_by(people.c.email).limit(most)
    return [
        Person(email=row.email, first_name=row.first_name, last_name=row.last_name, company=row.company)
        for row in tx.execute(query, given)
    ]
