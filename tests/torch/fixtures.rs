//! The stored values.

use std::collections::HashMap;
use std::path::Path;

use askem_kernels::Real;
use safetensors::{Dtype, SafeTensors};

use crate::memory::Memory;

/// A stored tensor.
pub(crate) struct Stored {
    pub(crate) shape: Vec<u32>,
    values: Values,
}

enum Values {
    Float(Vec<f64>),
    Uint(Vec<u32>),
}

impl Stored {
    pub(crate) fn floats(&self) -> &[f64] {
        match &self.values {
            Values::Float(values) => values,
            Values::Uint(_) => panic!("the tensor holds integers"),
        }
    }

    pub(crate) fn uints(&self) -> &[u32] {
        match &self.values {
            Values::Uint(values) => values,
            Values::Float(_) => panic!("the tensor holds numbers"),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.shape.iter().product::<u32>() as usize
    }

    /// The contents of a buffer at some precision.
    pub(crate) fn memory<T: Real>(&self) -> Memory<T> {
        match &self.values {
            Values::Float(values) => {
                Memory::Float(values.iter().map(|&v| T::from_f64(v)).collect())
            }
            Values::Uint(values) => Memory::Uint(values.clone()),
        }
    }
}

/// A file that make_fixtures.py wrote.
pub(crate) struct Fixtures {
    tensors: HashMap<String, Stored>,
    metadata: HashMap<String, String>,
}

impl Fixtures {
    pub(crate) fn open(file: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch").join(file);
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let read = SafeTensors::deserialize(&bytes).expect("a safetensors file");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a header");
        let tensors = read.iter().map(|(name, tensor)| {
            let words = |size: usize| tensor.data().chunks_exact(size);
            let four = |word: &[u8]| <[u8; 4]>::try_from(word).expect("four bytes");
            let values = match tensor.dtype() {
                Dtype::F32 => {
                    let floats = words(4).map(|w| f64::from(f32::from_le_bytes(four(w))));
                    Values::Float(floats.collect())
                }
                Dtype::F64 => {
                    let eight = |w: &[u8]| <[u8; 8]>::try_from(w).expect("eight bytes");
                    Values::Float(words(8).map(|w| f64::from_le_bytes(eight(w))).collect())
                }
                Dtype::I32 => Values::Uint(words(4).map(|w| u32::from_le_bytes(four(w))).collect()),
                other => panic!("{name}: {other:?} is not used here"),
            };
            let shape = tensor.shape().iter().map(|&size| size as u32).collect();
            (name.to_owned(), Stored { shape, values })
        });
        Self { tensors: tensors.collect(), metadata: header.metadata().clone().unwrap_or_default() }
    }

    pub(crate) fn get(&self, name: &str) -> &Stored {
        self.find(name).unwrap_or_else(|| panic!("no tensor {name} is stored"))
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Stored> {
        self.tensors.get(name)
    }

    pub(crate) fn shape<const N: usize>(&self, name: &str) -> [u32; N] {
        let shape = &self.get(name).shape;
        shape[..].try_into().unwrap_or_else(|_| panic!("{name} has {} dimensions", shape.len()))
    }

    /// A list in the metadata.
    pub(crate) fn names(&self, key: &str) -> Vec<&str> {
        self.metadata[key].split(',').filter(|name| !name.is_empty()).collect()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }
}
