// Shared by the crate and its build script.

/// What `//!stored NAME` stands for, on one line: the declarations of a buffer's type, and of the function that turns a number into it. Numbers beyond f16's largest become the
/// largest, since an infinity would spoil all that follows; what is no number stays none (by its
/// bits: compilers may take `value == value` for true).
pub(crate) fn declarations(name: &str, is_half: bool) -> String {
    if is_half {
        format!(
            "alias stored_{name} = f16; fn as_{name}(value: f32) -> f16 {{ return f16(select(clamp(value, -65504.0, 65504.0), value, (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u)); }}"
        )
    } else {
        format!("alias stored_{name} = f32; fn as_{name}(value: f32) -> f32 {{ return value; }}")
    }
}

/// The module of a form in which the buffers of these names hold f16.
pub(crate) fn module(text: &str, side: Option<u32>, halves: &[&str]) -> String {
    let mut module = String::new();
    if !halves.is_empty() || side.is_some() {
        module.push_str("enable f16;\n");
    }
    if side.is_some() {
        module.push_str("enable wgpu_cooperative_matrix;\n");
    }
    module.push_str(text);
    for name in halves {
        module = module.replace(&declarations(name, false), &declarations(name, true));
    }
    module
}
