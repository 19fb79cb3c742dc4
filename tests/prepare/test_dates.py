import pytest

from artjax.prepare.dates import Date, read_date, year_of

READ = {
    "1650": (1650, 1650),
    "79": (79, 79),
    "-30": (-30, -30),
    "[1650]": (1650, 1650),
    "1650 A.D.": (1650, 1650),
    "dated 1650": (1650, 1650),
    "14 May 1880": (1880, 1880),
    "1880-05-14": (1880, 1880),
    "14.05.1880": (1880, 1880),
    "1898-02": (1898, 1898),  # a month
    "Delft, 1660": (1660, 1660),
    # Uncertain years
    "c. 1650": (1645, 1655),
    "c.1650": (1645, 1655),
    "ca 1650": (1645, 1655),
    "Circa 1650": (1645, 1655),
    "about 1650": (1645, 1655),
    "um 1520": (1515, 1525),
    "vers 1520": (1515, 1525),
    "1650?": (1645, 1655),
    "1650 (?)": (1645, 1655),
    "probably 1650": (1645, 1655),
    # Ranges
    "1650-1655": (1650, 1655),
    "1650–55": (1650, 1655),
    "c. 1650–55": (1645, 1660),
    "c.1800-5": (1795, 1810),
    "ca. 1880-1890": (1880, 1890),  # wide enough already
    "c. 1650 - c. 1655": (1645, 1660),
    "1503/06": (1503, 1506),
    "1505-07": (1505, 1507),
    "1963—4": (1963, 1964),
    "between 1870 and 1890": (1870, 1890),
    "from 1870 to 1890": (1870, 1890),
    "1650 or 1651": (1650, 1651),
    "zwischen 1870 und 1890": (1870, 1890),
    "1885, cast 1902": (1885, 1902),
    # Before and after
    "before 1700": (1680, 1700),
    "by 1700": (1680, 1700),
    "vor 1700": (1680, 1700),
    "after 1700": (1700, 1720),
    "after c. 1700": (1700, 1720),
    "in or before 1672": (1652, 1672),
    "1672 or later": (1672, 1692),
    "16th century or earlier": (1480, 1599),
    # In brackets
    "Song dynasty (960-1279)": (960, 1279),
    "19th century (1875–99)": (1875, 1899),
    "1923 (dated 1921)": (1921, 1923),
    # Decades
    "1620s": (1620, 1629),
    "active 1620s": (1620, 1629),
    "the 1620's": (1620, 1629),
    "1820s-30s": (1820, 1839),
    "1880s–1890s": (1880, 1899),
    "early 1650s": (1650, 1652),
    "mid-1650s": (1653, 1655),
    "late 1650s": (1656, 1659),
    "165-?": (1650, 1659),
    "1920er Jahre": (1920, 1929),
    # Centuries
    "19th century": (1800, 1899),
    "19th Century": (1800, 1899),
    "17th c.": (1600, 1699),
    "17th cent.": (1600, 1699),
    "1600s": (1600, 1699),
    "16--": (1600, 1699),
    "Seventeenth century": (1600, 1699),
    "XVIIe siècle": (1600, 1699),
    "XVII secolo": (1600, 1699),
    "siglo XVII": (1600, 1699),
    "17. Jahrhundert": (1600, 1699),
    "17. Jh.": (1600, 1699),
    "17e eeuw": (1600, 1699),
    "circa 17th century": (1600, 1699),
    "late 15th c.": (1466, 1499),
    "early 15th century": (1400, 1432),
    "mid-15th century": (1433, 1465),
    "2nd half 17th century": (1650, 1699),
    "second half of the 17th century": (1650, 1699),
    "first half of the 18th century": (1700, 1749),
    "1st half of 15th century": (1400, 1449),
    "1. Hälfte 17. Jahrhundert": (1600, 1649),
    "2. Hälfte des 17. Jh.": (1650, 1699),
    "fin du XVIIe siècle": (1666, 1699),
    "last quarter of the 16th century": (1575, 1599),
    "17th-18th centuries": (1600, 1799),
    "15th–16th century": (1400, 1599),
    "late 15th-early 16th century": (1466, 1532),
    "late 15th or early 16th century": (1466, 1532),
    # Before Christ
    "300 BC": (-300, -300),
    "200-100 BCE": (-200, -100),
    "5th century B.C.": (-499, -400),
}
UNREADABLE = (
    "",
    "n.d.",
    "unknown",
    "12345",
    "undated",
    "Ming dynasty",
    "?",
    "no. 12 of 30",
    "3000",
)


@pytest.mark.parametrize(("text", "years"), READ.items())
def test_dates_as_museums_write_them(text, years):
    assert read_date(text) == years


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_is_no_date_is_none(text):
    assert read_date(text) is None
    assert year_of(text) == (-1, -1)


@pytest.mark.parametrize(
    ("date", "year", "uncertainty"),
    [
        (Date(1650, 1650), 1650, 0),
        (Date(1650, 1651), 1651, 1),
        (Date(1645, 1655), 1650, 5),
        (Date(1600, 1699), 1650, 50),
        (Date(-200, -100), -150, 50),
    ],
)
def test_the_year_is_the_middle_and_both_ends_are_within_the_uncertainty(date, year, uncertainty):
    assert (date.year, date.uncertainty) == (year, uncertainty)
