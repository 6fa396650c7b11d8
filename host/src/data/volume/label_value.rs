//! The values of label files: exact, however large.

use std::fmt;
use std::str::FromStr;

/// A value of a label file. Numbers of segments are integers of up to 64 bits, which floats would round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LabelValue {
    /// An integer, also one that a file stores as a float.
    Integer(i128),
    /// Any other number.
    Float(f64),
}

impl LabelValue {
    /// The usual background.
    pub const ZERO: Self = Self::Integer(0);

    /// As a float, rounded where it has to be.
    #[cfg(feature = "files")]
    pub(super) fn to_f64(self) -> f64 {
        match self {
            Self::Integer(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    /// As an integer, cut where it is none.
    #[cfg(feature = "files")]
    pub(super) fn to_integer(self) -> i128 {
        match self {
            Self::Integer(value) => value,
            Self::Float(value) => value as i128,
        }
    }
}

macro_rules! from_integers {
    ($($t:ty),*) => {$(
        impl From<$t> for LabelValue {
            fn from(value: $t) -> Self {
                Self::Integer(value.into())
            }
        }
    )*};
}
from_integers!(u8, i8, u16, i16, u32, i32, u64, i64);

impl From<f64> for LabelValue {
    fn from(value: f64) -> Self {
        // Below 2^100 every float without a fraction is an integer that fits.
        if value.fract() == 0.0 && value.abs() < 1e30 {
            Self::Integer(value as i128)
        } else {
            Self::Float(value)
        }
    }
}

impl From<f32> for LabelValue {
    fn from(value: f32) -> Self {
        f64::from(value).into()
    }
}

impl fmt::Display for LabelValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
        }
    }
}

impl FromStr for LabelValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(value) = text.parse() {
            return Ok(Self::Integer(value));
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value.into()),
            _ => Err("give a number, such as 3".into()),
        }
    }
}

/// As a number where the format of the file has it; TOML has integers of 64 bits with a sign, so larger ones are texts.
#[cfg(feature = "files")]
impl serde::Serialize for LabelValue {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Integer(value) => match i64::try_from(*value) {
                Ok(value) => to.serialize_i64(value),
                Err(_) => to.collect_str(value),
            },
            Self::Float(value) => to.serialize_f64(*value),
        }
    }
}

#[cfg(feature = "files")]
impl<'de> serde::Deserialize<'de> for LabelValue {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = LabelValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_i64<E>(self, value: i64) -> Result<LabelValue, E> {
                Ok(value.into())
            }
            fn visit_u64<E>(self, value: u64) -> Result<LabelValue, E> {
                Ok(value.into())
            }
            fn visit_f64<E>(self, value: f64) -> Result<LabelValue, E> {
                Ok(value.into())
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<LabelValue, E> {
                text.parse().map_err(E::custom)
            }
        }
        from.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exact() {
        let read = |text: &str| text.parse::<LabelValue>().unwrap();
        assert_eq!(read("16777217"), 16_777_217_u32.into());
        assert_ne!(read("16777217"), 16_777_216_u32.into());
        assert_eq!(read("18446744073709551615"), u64::MAX.into());
        assert_eq!(read("-9223372036854775808"), i64::MIN.into());
        assert_eq!(read("3.0"), 3_u8.into());
        assert_eq!(read("0.5"), 0.5_f32.into());
        assert_eq!((read("3").to_string(), read("0.5").to_string()), ("3".into(), "0.5".into()));
        assert!(["", "x", "nan", "inf", "1,5"].iter().all(|t| t.parse::<LabelValue>().is_err()));
    }

    #[test]
    #[cfg(feature = "files")]
    fn settings_keep_them() {
        #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        struct Settings {
            value: LabelValue,
        }
        for value in [3_u64.into(), u64::MAX.into(), i64::MIN.into(), 0.5_f64.into()] {
            let text = toml::to_string(&Settings { value }).unwrap();
            assert_eq!(toml::from_str::<Settings>(&text).unwrap(), Settings { value }, "{text}");
        }
        // As earlier versions wrote it.
        let old: Settings = toml::from_str("value = 4.0").unwrap();
        assert_eq!(old.value, LabelValue::Integer(4));
    }
}
