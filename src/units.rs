//! Durations and sizes as people write them: `500ms`, `10s`, `2m`; `64KiB`, `1MiB`, bytes; `off`.

use std::time::Duration;

/// A limit that can be switched off; then it is `None`.
pub(crate) type OrOff = Option<Duration>;

/// More than nothing; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    wait(text).and_then(|d| match d.is_zero() {
        true => Err("must be more than nothing".to_owned()),
        false => Ok(d),
    })
}

pub(crate) fn duration_or_off(text: &str) -> Result<OrOff, String> {
    match text {
        "off" => Ok(None),
        _ => duration(text)
            .map(Some)
            .map_err(|error| format!("{error}, or off")),
    }
}

/// A time that may be nothing; a bare number is seconds.
pub(crate) fn wait(text: &str) -> Result<Duration, String> {
    let units = [
        ("", 1000),
        ("ms", 1),
        ("s", 1000),
        ("m", 60_000),
        ("h", 3_600_000),
    ];
    scaled(text, &units)
        .map(Duration::from_millis)
        .ok_or_else(|| "write seconds, or a number and its unit: 10, 500ms, 10s, 2m".to_owned())
}

pub(crate) fn size(text: &str) -> Result<usize, String> {
    let units = [
        ("", 1),
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
    ];
    scaled(text, &units)
        .and_then(|n| usize::try_from(n).ok())
        .filter(|&n| n > 0)
        .ok_or_else(|| "write a number of bytes, or with a unit: 64KiB, 1MiB".to_owned())
}

/// A whole number followed by one of the units.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (_, factor) = units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit.trim_start()))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("write a number above 0".to_owned()),
        Ok(n) => Ok(n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration_or_off("off"), Ok(None));
        for wrong in [
            "",
            "s",
            "-1s",
            "1.5s",
            "10 parsecs",
            "0s",
            "99999999999999999999s",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_wait_may_be_nothing_and_without_a_unit() {
        assert_eq!(wait("5"), Ok(Duration::from_secs(5)));
        assert_eq!(wait("0"), Ok(Duration::ZERO));
        assert_eq!(wait("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "-1", "1.5", "soon"] {
            assert!(wait(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("1mib"), Ok(1 << 20));
        assert_eq!(size("100"), Ok(100));
        for wrong in [
            "",
            "KiB",
            "0",
            "-1",
            "1.5MiB",
            "1 zebra",
            "99999999999999999999",
        ] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
