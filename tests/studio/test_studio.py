import hashlib
import io
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from artjax import studio
from artjax.data import colours
from artjax.data.splits import divide
from artjax.evaluation import colour_histograms as baseline
from artjax.prepare.catalogue import Work
from artjax.prepare.cleaning import clean_works

LABELS = ("artist", "genre", "location", "style", "period")
PAINTINGS = studio.catalogue()


def test_catalogue_is_balanced_and_complete():
    assert len(PAINTINGS) == 1440 == len({p.file_name for p in PAINTINGS})
    assert set(Counter(p.artist for p in PAINTINGS).values()) == {120}
    for label in LABELS:
        counts = Counter(getattr(p, label) for p in PAINTINGS)
        assert len(counts) >= 3
        assert min(counts.values()) >= 20
    assert all(1600 < p.year < 1900 for p in PAINTINGS)


def test_details_share_the_work_and_its_labels():
    details = [p for p in PAINTINGS if p.detail]
    assert len(details) == 60
    wholes = {p.work_id: p for p in PAINTINGS if not p.detail}
    for detail in details:
        whole = wholes[detail.work_id]
        assert all(getattr(whole, label) == getattr(detail, label) for label in LABELS)


def test_a_detail_is_an_enlarged_part_of_its_work():
    detail = next(p for p in PAINTINGS if p.detail)
    whole = next(p for p in PAINTINGS if p.work_id == detail.work_id and not p.detail)
    part, picture = studio.paint(detail).astype(float), studio.paint(whole).astype(float)

    # Some part of the whole, scaled up, looks like the detail, and no part of another work does.
    def best_match(picture):
        height, width = part.shape[:2]
        best = 255.0
        for share in np.linspace(0.6, 0.75, 7):
            rows, columns = int(share * picture.shape[0]), int(share * picture.shape[1])
            for top in range(0, picture.shape[0] - rows + 1, 4):
                for left in range(0, picture.shape[1] - columns + 1, 4):
                    crop = picture[top : top + rows, left : left + columns].astype(np.uint8)
                    scaled = Image.fromarray(crop).resize((width, height), Image.Resampling.BOX)
                    best = min(best, np.abs(np.asarray(scaled, float) - part).mean())
        return best

    other = next(
        p
        for p in PAINTINGS
        if p.artist == whole.artist and p.work_id != whole.work_id and not p.detail
    )
    assert best_match(picture) < 0.6 * best_match(studio.paint(other).astype(float))


def digest(paintings):
    return hashlib.sha256(b"".join(studio.paint(p).tobytes() for p in paintings)).hexdigest()


@pytest.mark.slow
def test_pictures_do_not_depend_on_order_or_process():
    some = PAINTINGS[::97]
    alone = {p.file_name: studio.paint(p) for p in reversed(some)}
    assert all((alone[p.file_name] == studio.paint(p)).all() for p in some)
    code = (
        "import hashlib; from artjax import studio; "
        "print(hashlib.sha256(b''.join(studio.paint(p).tobytes() "
        "for p in studio.catalogue()[::97])).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(some)


def test_another_seed_gives_other_pictures():
    first, second = studio.catalogue(0)[0], studio.catalogue(1)[0]
    assert not np.array_equal(studio.paint(first)[:50, :50], studio.paint(second)[:50, :50])


def test_pictures_have_the_promised_size():
    for painting in PAINTINGS[::61]:
        picture = studio.paint(painting)
        assert picture.dtype == np.uint8
        assert min(picture.shape[:2]) == 112
        assert 0.6 <= picture.shape[1] / picture.shape[0] <= 1.7


@pytest.mark.slow
def test_colour_alone_does_not_tell_the_painter(tmp_path):
    # Genres alternate in fours: every second picture would show only two of them.
    paintings = PAINTINGS[::9]
    works = [Work(p.file_name, {}, p, work_id=p.work_id) for p in paintings]
    cleaned = clean_works(works, tmp_path, short_side_px=512)
    pictures = [np.asarray(Image.open(io.BytesIO(c.jpeg.read_bytes()))) for c in cleaned]
    labels = np.asarray([p.artist for p in paintings])
    cut = divide(
        [p.work_id for p in paintings],
        [[p.artist] for p in paintings],
        shares={"train": 0.7, "test": 0.3},
    )
    in_test = np.asarray(cut) == "test"
    scores = []
    counts = np.stack([colours.count(picture) for picture in pictures])
    for kind in colours.KINDS:
        features = colours.histograms(counts, kind)
        model = baseline.fit(features[~in_test], labels[~in_test], strength=30.0)
        scores.append(model.score(features[in_test], labels[in_test]))
    assert 1 / 12 < max(scores) < 0.6  # they do hold something, but not the painter


def test_contact_sheet_has_a_row_for_each_painter():
    sheet = studio.contact_sheet(PAINTINGS[:240], columns=2, cell_px=40)
    rows = len({p.artist for p in PAINTINGS[:240]})
    assert rows == 2
    assert sheet.shape[0] == 10 + rows * 50
