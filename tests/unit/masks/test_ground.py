from functools import cached_property
from itertools import product
from pathlib import Path
from random import Random

import numpy as np
import pytest
import rasterio
from hypothesis import given
from scipy.ndimage import gaussian_filter
from strategies import randoms, tried

from odc_cleansat.classes import CloudClass, scl_to_ucl
from odc_cleansat.masks.ground import MEDIAN, MIDDLE_HALF, Ground
from odc_cleansat.masks.time_rules import BANDS, Series, refine_window
from odc_cleansat.scenes.packing import Packing

from . import plain_rules

pytestmark = pytest.mark.filterwarnings(
    "ignore:the ground of:odc_cleansat.errors.ReflectanceWarning"
)
KINDS = ("uint8", "uint16", "int16", "int32", "float32")


@tried(40)
@given(random=randoms)
def test_values_of_all_ranks_are_those_of_sorting(random: Random) -> None:
    chance = np.random.default_rng(random.randrange(2**32))
    dates, shape = random.randint(1, 24), (random.randint(1, 60), random.choice([1, 7, 700]))
    dtype = np.dtype(random.choice(KINDS))
    most = 1.0 if dtype.kind == "f" else np.iinfo(dtype).max
    values = np.minimum(chance.uniform(-0.3, 1.2, (dates, *shape)) * most, most)
    values = np.maximum(values, 0 if dtype.kind == "u" else -most).astype(dtype)
    known = chance.random(values.shape) < chance.choice([0, 0.3, 0.9, 1], (dates, 1, 1))
    ground = Ground(lambda date: (values[date], known[date]))
    for _ in range(random.randint(1, 4)):
        chosen = random.sample(range(dates), random.randint(1, dates))
        count, found = ground.ranked(chosen, (*MEDIAN, *MIDDLE_HALF))
        np.testing.assert_array_equal(count, known[chosen].sum(axis=0))
        for pixel in {(random.randrange(shape[0]), random.randrange(shape[1])) for _ in range(40)}:
            at = (chosen, *pixel)
            several = sorted(values[at][known[at]])
            if n := len(several):
                ranks = ((n - 1) // 2, n // 2, n // 4, n - 1 - n // 4)
                assert [each[pixel] for each in found] == [several[rank] for rank in ranks]
                assert all(each.dtype == dtype for each in found)


def test_each_date_is_read_once_as_the_middle_goes_on() -> None:
    read = []

    def plane(date: int) -> tuple[np.ndarray, np.ndarray]:
        read.append(date)
        return np.full((2, 3), date, "uint16"), np.ones((2, 3), bool)

    ground = Ground(plane)
    for date in range(2, 8):
        count, (low, high) = ground.ranked([i for i in range(date - 2, date + 3) if i != date], MEDIAN)  # fmt: skip
        assert (low == date - 1).all()
        assert (high == date + 1).all()
        assert (count == 4).all()
    assert set(read) == set(range(10))
    assert len(read) <= 16  # a date is left out of its own ground, and read again


class Sky:
    """Dates of one ground, with clouds and shadow, that a mask finds in part; and what makes windows odd."""

    def __init__(self, random: Random, shape: tuple[int, int], dates: int) -> None:
        self.random, self.shape, self.dates = random, shape, dates
        self.chance = np.random.default_rng(random.randrange(2**32))

    def waves(self, size: float) -> np.ndarray:
        found = gaussian_filter(self.chance.normal(size=self.shape), size)
        return found / found.std()

    @cached_property
    def numbers(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Digital numbers by band, and codes; dims ``(time, y, x)``."""
        texture = np.clip(1 + 0.2 * self.waves(2), 0.3, 2)
        bands = {band: np.empty((self.dates, *self.shape)) for band in BANDS}
        codes = np.full((self.dates, *self.shape), CloudClass.CLEAR, "uint8")
        for date in range(self.dates):
            sky = self.waves(12)
            cloud = sky > self.random.choice([-3, 0.5, 1, 1, 1.5, 2, 2, 4])
            shadow = np.roll(cloud, (-20, 12), (0, 1)) & ~cloud
            veil = 900 * (sky > 0.6) * (self.random.random() < 0.5)
            dim = np.where(shadow, self.random.choice([0.5, 0.5, 0.9]), self.random.choice([1, 1, 1, 0.8, 0.3]))  # fmt: skip
            for band, value in (("blue", 600), ("red", 800), ("nir", 3000)):
                haze = veil * (0.5 if band == "nir" else 1) + 3000 * cloud
                bands[band][date] = texture * value * dim + haze
            codes[date][shadow | (self.waves(6) > 1.5)] = CloudClass.SHADOW
            codes[date][cloud | (self.waves(6) > 1.8 - 1.6 * shadow)] = self.random.choice([CloudClass.CLOUD, CloudClass.THIN_CLOUD])  # fmt: skip
            codes[date][self.waves(9) > 2] = self.random.choice([CloudClass.SNOW, CloudClass.WATER])
            if self.random.random() < 0.3:
                codes[date][:, : self.random.randrange(self.shape[1])] = CloudClass.NODATA
        return bands, codes

    def series(self) -> Series:
        """The window, as digital numbers or reflectance, with offsets, values for no data and dates as they come."""
        bands, codes = self.numbers
        offsets = [self.random.choice([0, 0, 0, 1000]) for _ in range(self.dates)]
        known = [offset if self.random.random() < 0.95 else 0 for offset in offsets]
        if self.random.random() < 0.4:
            offsets = known = [0] * self.dates
        whole = {b: np.stack([v + o for v, o in zip(values, offsets, strict=True)]).astype("uint16")
                 for b, values in bands.items()}  # fmt: skip
        packings: dict[str, list[Packing | None]] = {
            band: [Packing(1e-4, -offset, 0, "") for offset in known] for band in BANDS
        }
        if self.random.random() < 0.3:
            whole = {b: (v / np.float32(1e4)).astype("float32") for b, v in whole.items()}
            packings = {b: [Packing(1, -o / 1e4, None, "") for o in known] for b in BANDS}
            whole["nir"][self.chance.random(codes.shape) < 0.02] = np.nan
        else:
            whole[self.random.choice(BANDS)][self.chance.random(codes.shape) < 0.02] = 0
            whole["nir"][0].flat[:3] = 65535
        if self.random.random() < 0.2:
            packings["red"][-1] = None
        steps = [self.random.choice([0.3, 5, 5, 10, 20]) for _ in range(self.dates)]
        wanted = sorted(self.random.sample(range(self.dates), self.random.randint(1, self.dates)))
        return Series(
            bands=whole, codes=codes, days=np.cumsum(steps), packings=packings, smoothing=5, surroundings=33,
            hindsight=self.random.random() < 0.7, wanted=self.random.choice([None, wanted]),
        )  # fmt: skip


@tried(12)
@given(random=randoms)
def test_classes_are_those_of_the_plain_rules(random: Random) -> None:
    shape = random.choice([(96, 110), (70, 40), (131, 150)])
    series = Sky(random, shape, random.randint(1, 14)).series()
    np.testing.assert_array_equal(refine_window(series), plain_rules.refined(series))


def test_skies_are_such_that_rules_count() -> None:
    """Were nothing changed, it would be no proof that both change the same."""
    changes = np.zeros((7, 7), int)
    for seed in range(6):
        series = Sky(Random(seed), (96, 110), 9).series()
        found = refine_window(series)
        np.add.at(changes, (series.codes, found), 1)
    for was, becomes in ((3, 1), (2, 1), (2, 3), (1, 6)):
        assert changes[was, becomes] > 50, changes
    assert not changes[0, 1:].any()


@pytest.mark.parametrize("hindsight", [True, False])
def test_real_dates_get_the_classes_of_the_plain_rules(shared: Path, hindsight: bool) -> None:
    def band(folder: Path, name: str) -> np.ndarray:
        with rasterio.open(folder / f"{name}.tif") as file:
            read: np.ndarray = file.read(1)[:400, :400]
        return read

    folders = [each for each in sorted((shared / "calgary").iterdir()) if each.is_dir()]
    days = np.array([each.name for each in folders], "datetime64[D]").astype("float64")
    names = dict(zip(BANDS, ("B02", "B04", "B08"), strict=True))
    bands = {b: np.stack([band(each, name) for each in folders]) for b, name in names.items()}
    codes = scl_to_ucl(np.stack([band(each, "SCL") for each in folders]))
    # A crude mask, so that there is much to mend.
    codes[(codes == CloudClass.CLEAR) & (bands["nir"] < 2200)] = CloudClass.SHADOW
    codes[(codes == CloudClass.CLEAR) & (bands["blue"] > 1100)] = CloudClass.CLOUD
    packings = {b: [Packing(1e-4, 0, 0, "")] * len(folders) for b in BANDS}
    series = Series(bands=bands, codes=codes, days=days, packings=packings, smoothing=3, surroundings=65, hindsight=hindsight)  # fmt: skip
    found = refine_window(series)
    assert (found != codes).sum() > 500
    np.testing.assert_array_equal(found, plain_rules.refined(series))


def test_any_number_of_planes_is_put_in_order() -> None:
    """A network that puts all rows of zeros and ones in order does so with any numbers."""
    for dates in range(1, 10):
        rows = np.array([*product((0, 1), repeat=dates)], "uint8").T[:, None]
        ground = Ground(lambda date, rows=rows: (rows[date], np.ones(rows[date].shape, bool)))
        ranks = [lambda count, rank=rank: 0 * count + rank for rank in range(dates)]
        _, found = ground.ranked(range(dates), ranks)
        np.testing.assert_array_equal(found, np.sort(rows, axis=0))
