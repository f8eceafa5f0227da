"""The counts of a checked launch as text: a table of all lines, and a picture of one request."""

from ..runtime.findings import CheckReport, Site

_BANKS, _BANK_BYTES, _SECTOR_BYTES = 32, 4, 32


def counts_table(report: CheckReport) -> str:
    """Return a table of what memory accesses cost, one row for each line of source that accesses an array."""
    row = "{:24} {:14} {:7} {:>6} {:>9} {:>22} {:>8}".format
    lines = [row("line", "array", "", "bytes", "requests", "sectors or wavefronts", "least")]
    for site in report.sites:
        cost = f"{site.transactions} {'wavefronts' if site.is_shared else 'sectors':10}"
        lines.append(row(site.where, site.array, site.access, site.bytes_per_lane, site.requests, cost, site.least))
    return "\n".join(lines)


def costliest_site(report: CheckReport) -> Site | None:
    """Return the site with the most transactions for the least possible number, or None if there are no sites."""
    return max(report.sites, key=lambda site: site.transactions / max(1, site.least), default=None)


def request_picture(site: Site) -> str:
    """Draw a site's costliest request: one row a lane, one column a bank (shared memory) or a sector (global)."""
    unit, name = (_BANK_BYTES, "bank") if site.is_shared else (_SECTOR_BYTES, "sector")
    columns = {}  # of each lane that took part
    for lane, offset in enumerate(site.example):
        if offset >= 0:
            cell = offset // unit
            columns[lane] = cell % _BANKS if site.is_shared else cell
    drawn = range(_BANKS) if site.is_shared else sorted(set(columns.values()))
    lines = [f"{site.where}: {site.access} {site.array}, {name} by {name}"]
    for lane, own in columns.items():
        marks = "".join("#" if column == own else "." for column in drawn)
        lines.append(f"lane {lane:2d} {marks} byte {site.example[lane]}")
    return "\n".join(lines)
