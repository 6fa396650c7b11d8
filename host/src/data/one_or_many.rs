//! Lists in settings files: a single value is written plainly, several as an array.
//!
//! `raw = "a.tif"` and `raw = ["a.tif", "b.tif"]` read as lists of one and of two.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes a list, for `#[serde(with)]`. An empty one is best skipped.
pub(crate) fn serialize<T: Serialize, S: Serializer>(
    values: &[T],
    to: S,
) -> Result<S::Ok, S::Error> {
    match values {
        [one] => one.serialize(to),
        _ => values.serialize(to),
    }
}

/// Reads a list.
pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany<T> {
        One(T),
        Many(Vec<T>),
    }
    Ok(match OneOrMany::deserialize(from)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Settings {
        #[serde(with = "super", skip_serializing_if = "Vec::is_empty")]
        raw: Vec<String>,
        #[serde(with = "super", skip_serializing_if = "Vec::is_empty")]
        offset: Vec<[usize; 3]>,
    }

    #[test]
    fn one_value_is_written_plainly_and_all_are_read_again() {
        let settings = |raw: &[&str], offset: &[[usize; 3]]| Settings {
            raw: raw.iter().map(ToString::to_string).collect(),
            offset: offset.to_vec(),
        };
        let one = settings(&["a.tif"], &[[1, 26, 10]]);
        assert_eq!(toml::to_string(&one).unwrap(), "raw = \"a.tif\"\noffset = [1, 26, 10]\n");
        let two = settings(&["a.tif", "b.tif"], &[[0, 0, 0], [1, 2, 3]]);
        for all in [settings(&[], &[]), one, two] {
            let text = toml::to_string(&all).unwrap();
            assert_eq!(toml::from_str::<Settings>(&text).unwrap(), all, "{text}");
        }
        assert!(toml::from_str::<Settings>("raw = 3").is_err());
    }
}
