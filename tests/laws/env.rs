//! Runs references on buffers that are found by their names.

use std::collections::HashMap;

use askem_kernels::{Call, Element};

use crate::memory::{self, Memory};

/// Buffers by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Env(HashMap<String, Memory<f64>>);

/// Numbers that are far enough apart, and from zero, that a small step changes no sign and no maximum.
fn spaced(name: &str, len: usize) -> Vec<f64> {
    assert!(len <= 101, "{name}: {len} numbers cannot all differ");
    let first = name.bytes().fold(17, |sum, byte| sum * 31 % 101 + usize::from(byte));
    (0..len).map(|i| ((i * 37 + first) % 101) as f64 / 50.0 - 1.01).collect()
}

impl Env {
    /// An environment in which the calls find all that none of them writes.
    pub(crate) fn drawn(calls: &[Call]) -> Self {
        let mut env = Self::default();
        for call in calls {
            let signature = call.signature();
            for &(name, element) in signature.reads {
                if !env.0.contains_key(name) {
                    let len = call.len(name);
                    let memory = match element {
                        Element::Float => Memory::Float(spaced(name, len)),
                        Element::Uint => Memory::Uint((0..len as u32).map(|i| i * 7 % 5).collect()),
                    };
                    env.0.insert(name.into(), memory);
                }
            }
            // Filled in when the calls run; until then nobody may read them.
            for &(name, element) in signature.writes {
                env.0.insert(name.into(), Memory::garbage(element, call.len(name)));
            }
        }
        env
    }

    pub(crate) fn get(&self, name: &str) -> &[f64] {
        self.0.get(name).unwrap_or_else(|| panic!("no buffer `{name}`")).floats()
    }

    pub(crate) fn set(&mut self, name: &str, values: Vec<f64>) {
        self.0.insert(name.into(), Memory::Float(values));
    }

    pub(crate) fn set_uint(&mut self, name: &str, values: Vec<u32>) {
        self.0.insert(name.into(), Memory::Uint(values));
    }

    pub(crate) fn get_uint(&self, name: &str) -> &[u32] {
        match &self.0[name] {
            Memory::Uint(values) => values,
            Memory::Float(_) => panic!("`{name}` holds numbers"),
        }
    }

    /// Runs the references in order. What a pass writes starts as garbage, or as zeros where it adds.
    pub(crate) fn run(&mut self, calls: &[Call]) {
        for call in calls {
            let adds = matches!(call, Call::MaxPool2dBackwardInput(_));
            for &(name, element) in call.signature().writes {
                let len = call.len(name);
                let start =
                    if adds { Memory::zeros(element, len) } else { Memory::garbage(element, len) };
                self.0.insert(name.into(), start);
            }
            self.step(*call);
        }
    }

    /// Runs a reference on what its written buffers hold.
    pub(crate) fn step(&mut self, call: Call) {
        let signature = call.signature();
        let load = |buffers: &[(&str, Element)]| -> Vec<Memory<f64>> {
            buffers.iter().map(|(name, _)| self.0[*name].clone()).collect()
        };
        let (reads, mut writes) = (load(signature.reads), load(signature.writes));
        memory::reference(&call, &reads, &mut writes)
            .unwrap_or_else(|error| panic!("{}: {error}", signature.name));
        for (&(name, _), memory) in signature.writes.iter().zip(writes) {
            self.0.insert(name.into(), memory);
        }
    }
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
