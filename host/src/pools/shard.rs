//! A part of some work that is spread over processes, which need not know of each other.

use std::ops::Range;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Part `index` of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    pub index: u64,
    /// At least 1.
    pub count: u64,
}

/// What `--shard` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardChoice {
    /// `I/N`
    Given(Shard),
    /// What the engine that started the process says in its environment.
    Auto,
}

impl Shard {
    /// Everything.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// The units of this part, out of `units`: consecutive ones, so that neighbours are read together.
    pub fn of(self, units: u64) -> Range<u64> {
        let at =
            |index: u64| (u128::from(index) * u128::from(units) / u128::from(self.count)) as u64;
        at(self.index)..at(self.index + 1)
    }

    /// The part that Slurm (`SLURM_ARRAY_TASK_ID`), HyperQueue (`HQ_TASK_ID`) or Kubernetes (`JOB_COMPLETION_INDEX`) says, the first
    /// of them that is there, of `ASKEM_SHARDS`. Without the latter Slurm's array is the whole: `SLURM_ARRAY_TASK_COUNT` parts from
    /// `SLURM_ARRAY_TASK_MIN` on.
    ///
    /// # Errors
    /// [`Error::Usage`] if none is there, the number of parts is not, or they make no sense.
    pub fn from_environment(get: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let number = |name: &str| -> Result<Option<u64>> {
            let Some(text) = get(name) else { return Ok(None) };
            text.trim().parse().map(Some).map_err(|_| {
                Error::Usage(format!(
                    "--shard auto: {name}={text} in the environment is not a number"
                ))
            })
        };
        let mut found = None;
        for name in ["SLURM_ARRAY_TASK_ID", "HQ_TASK_ID", "JOB_COMPLETION_INDEX"] {
            if let Some(id) = number(name)? {
                found = Some((name, id));
                break;
            }
        }
        let Some((name, id)) = found else {
            return Err(Error::Usage(
                "--shard auto: neither SLURM_ARRAY_TASK_ID nor HQ_TASK_ID nor JOB_COMPLETION_INDEX is set; give --shard I/N"
                    .into(),
            ));
        };
        let array = match name {
            "SLURM_ARRAY_TASK_ID" => number("SLURM_ARRAY_TASK_COUNT")?,
            _ => None,
        };
        let (index, count) = match (number("ASKEM_SHARDS")?, array) {
            (Some(count), _) => (id, count),
            (None, Some(count)) => {
                (id.wrapping_sub(number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0)), count)
            }
            (None, None) => {
                return Err(Error::Usage(format!(
                    "--shard auto: {name} says which part this is, but not of how many: set ASKEM_SHARDS, or give --shard I/N"
                )));
            }
        };
        Self::checked(index, count).map_err(|e| Error::Usage(format!("--shard auto: {e}")))
    }

    /// Reads `I/N`.
    pub(crate) fn parse(text: &str) -> std::result::Result<Self, String> {
        let numbers =
            text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let (index, count) = numbers.ok_or("give I/N, as in 0/8, or auto")?;
        Self::checked(index, count)
    }

    fn checked(index: u64, count: u64) -> std::result::Result<Self, String> {
        if index < count {
            return Ok(Self { index, count });
        }
        Err(format!("part {index} of {count}: parts are counted from 0 and below their number"))
    }
}

impl FromStr for ShardChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        Shard::parse(text).map(Self::Given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_the_whole() {
        for (units, count) in [(0, 3), (1, 8), (17, 4), (1 << 60, 7)] {
            let parts: Vec<_> = (0..count).map(|index| Shard { index, count }.of(units)).collect();
            assert_eq!((parts[0].start, parts[count as usize - 1].end), (0, units));
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }

    #[test]
    fn engines_say_which_part_it_is() {
        let from = |pairs: &[(&str, &str)]| {
            let pairs: Vec<(String, String)> =
                pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            Shard::from_environment(|name| {
                pairs.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone())
            })
        };
        let slurm = [
            ("SLURM_ARRAY_TASK_ID", "3"),
            ("SLURM_ARRAY_TASK_MIN", "1"),
            ("SLURM_ARRAY_TASK_COUNT", "4"),
        ];
        assert_eq!(from(&slurm).unwrap(), Shard { index: 2, count: 4 });
        // A part of an array that is repeated keeps its number.
        let again = [slurm[0], slurm[1], ("SLURM_ARRAY_TASK_COUNT", "1"), ("ASKEM_SHARDS", "4")];
        assert_eq!(from(&again).unwrap(), Shard { index: 3, count: 4 });
        let queue = [("HQ_TASK_ID", "7"), ("ASKEM_SHARDS", "8")];
        assert_eq!(from(&queue).unwrap(), Shard { index: 7, count: 8 });
        let kubernetes = [("JOB_COMPLETION_INDEX", "0"), ("ASKEM_SHARDS", "8")];
        assert_eq!(from(&kubernetes).unwrap(), Shard { index: 0, count: 8 });
        for (pairs, said) in [
            (&[][..], "give --shard I/N"),
            (&queue[..1], "ASKEM_SHARDS"),
            (&[("HQ_TASK_ID", "x")], "not a number"),
            (&[("HQ_TASK_ID", "8"), ("ASKEM_SHARDS", "8")], "counted from 0"),
            (&[("SLURM_ARRAY_TASK_ID", "0"), slurm[1], slurm[2]], "counted from 0"),
        ] {
            let message = from(pairs).unwrap_err().to_string();
            assert!(message.contains(said), "{message}");
        }
    }

    #[test]
    fn a_part_is_read_from_text() {
        assert_eq!("2/5".parse(), Ok(ShardChoice::Given(Shard { index: 2, count: 5 })));
        assert_eq!("auto".parse(), Ok(ShardChoice::Auto));
        for text in ["", "3", "5/5", "-1/2", "1/0", "a/b"] {
            assert!(text.parse::<ShardChoice>().is_err(), "{text}");
        }
    }
}
