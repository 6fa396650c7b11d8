//! Units of length.

/// How many nanometres a unit has, by its name or sign; none for what is no length.
pub(in super::super) fn in_nm(unit: &str) -> Option<f64> {
    let unit = unit.trim().replace("\\u00B5", "µ").replace('\u{3bc}', "µ").to_lowercase();
    Some(match &*unit {
        "pm" | "picometer" | "picometre" => 1e-3,
        "å" | "angstrom" | "ångström" | "\u{212b}" => 0.1,
        "nm" | "nanometer" | "nanometre" | "nanometers" | "nanometres" => 1.0,
        "µm" | "um" | "micron" | "microns" | "micrometer" | "micrometre" | "micrometers"
        | "micrometres" => 1e3,
        "mm" | "millimeter" | "millimetre" => 1e6,
        "cm" | "centimeter" | "centimetre" => 1e7,
        "m" | "meter" | "metre" => 1e9,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_names_are_units() {
        let known = ["nm", "\\u00B5m", "µm", "\u{3bc}m", "Angstrom", "Å", " micron"].map(in_nm);
        let wanted = [1.0, 1e3, 1e3, 1e3, 0.1, 0.1, 1e3].map(Some);
        assert_eq!(known, wanted);
        assert_eq!(["inch", "pixel", ""].map(in_nm), [None; 3]);
    }
}
