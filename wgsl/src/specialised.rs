//! Modules for one set of sizes, so that compilers know what indices are divided by, and how far loops go.

use std::collections::HashMap;

use crate::{Element, Form, Shader};

/// The member that stays a parameter, so that batches of all sizes share a module.
const SAMPLES: &str = "n";

impl Shader {
    /// The bytes of `Params` that [`Form::specialised_source`] makes constants of; 0 in place of the others. Calls in which they
    /// are equal share a module.
    ///
    /// # Panics
    /// If `params` is shorter than the shader's `Params`.
    pub fn constants(&self, params: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; self.params_size as usize];
        for member in self.params.iter().filter(|member| is_constant(member)) {
            let place = member.offset as usize..member.offset as usize + 4;
            bytes[place.clone()].copy_from_slice(&params[place]);
        }
        bytes
    }
}

impl Form {
    /// [`source`](Form::source) with constants in place of the members of `Params`, but for the number of samples and arrays, which the
    /// uniform still holds.
    ///
    /// # Panics
    /// If `params` is shorter than the shader's `Params`.
    pub fn specialised_source(&self, shader: &Shader, params: &[u8], halves: &[&str]) -> String {
        let members = shader.params.iter().filter(|member| is_constant(member));
        let constant = |member: &crate::Member| {
            let place = member.offset as usize..member.offset as usize + 4;
            let word = u32::from_le_bytes(params[place].try_into().expect("a word has 4 bytes"));
            let text = match member.element {
                Element::Uint => format!("{word}u"),
                // Every bit of it, and no literal for what has none.
                Element::Float => format!("bitcast<f32>({word}u)"),
            };
            (member.name, text)
        };
        replaced(&self.source(halves), &members.map(constant).collect())
    }
}

fn is_constant(member: &crate::Member) -> bool {
    member.name != SAMPLES && member.len.is_none()
}

/// The text with each `params.NAME` replaced that has a value.
fn replaced(text: &str, values: &HashMap<&str, String>) -> String {
    const ACCESS: &str = "params.";
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(ACCESS) {
        let (before, access) = rest.split_at(at);
        let name = &access[ACCESS.len()..];
        let name = &name[..name.find(|c| !is_part(c)).unwrap_or(name.len())];
        let whole = !before.ends_with(is_part);
        out.push_str(before);
        match values.get(name).filter(|_| whole) {
            Some(value) => out.push_str(value),
            None => out.push_str(&access[..ACCESS.len() + name.len()]),
        }
        rest = &access[ACCESS.len() + name.len()..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use askem_kernels::{Call, conv2d_norm_relu, dropout_masks};

    use super::*;
    use crate::entry_of;

    #[test]
    fn whole_names_are_replaced() {
        let values = HashMap::from([("c", "3u".to_owned()), ("c_in", "5u".to_owned())]);
        let text = "params.c*params.c_in+params.c_out-other_params.c, params.c;params.";
        assert_eq!(replaced(text, &values), "3u*5u+params.c_out-other_params.c, 3u;params.");
    }

    #[test]
    fn all_but_samples_and_arrays_become_constants() {
        let (n, c_in, c_a, c_out, h, w) = (7, 64, 64, 32, 33, 35);
        let p =
            conv2d_norm_relu::Params { n, c_in, c_a, c_out, h, w, kernel: 3, mask: 1, eps: 1e-5 };
        let call = Call::Conv2dNormReluForwardEval(p);
        let (shader, entry) = entry_of(&call);
        for form in entry.forms {
            let text = form.specialised_source(shader, call.params(), &["x"]);
            assert!(text.contains("params.n") && !text.contains("params.h"), "{text}");
            assert!(text.contains("33u") && text.contains("bitcast<f32>(925353388u)"), "{text}");
        }
        let more = Call::Conv2dNormReluForwardEval(conv2d_norm_relu::Params { n: 1, ..p });
        assert_eq!(shader.constants(call.params()), shader.constants(more.params()));
        let other = Call::Conv2dNormReluForwardEval(conv2d_norm_relu::Params { eps: 2e-5, ..p });
        assert_ne!(shader.constants(call.params()), shader.constants(other.params()));
        let masks = Call::DropoutMasksDraw(dropout_masks::Params::new(2, 1, 2.0, &[(3, 4)]));
        let (shader, entry) = entry_of(&masks);
        let text = entry.forms[0].specialised_source(shader, masks.params(), &[]);
        assert!(text.contains("params.layer[") && !text.contains("params.threshold"), "{text}");
    }
}
