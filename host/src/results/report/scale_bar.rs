//! A bar under a picture that says how long something in it is.

/// The share of a picture's width that a bar takes at most.
const MOST: f64 = 0.3;

/// The bar under a picture of so many pixels across: in nanometres or micrometres where the size of
/// a pixel is known, else in pixels.
///
/// Its length is a share of the picture's width, so it stays right however large the page shows it.
pub(super) fn html(width: usize, pixel_nm: Option<f64>) -> String {
    let pixel_nm = pixel_nm.filter(|nm| nm.is_finite() && *nm > 0.0);
    let unit = pixel_nm.unwrap_or(1.0);
    let length = round_below(MOST * width as f64 * unit);
    let text = match pixel_nm {
        Some(_) if length >= 1000.0 => format!("{} µm", length / 1000.0),
        Some(_) => format!("{length} nm"),
        None if length == 1.0 => "1 pixel".into(),
        None => format!("{length} pixels"),
    };
    let share = 100.0 * length / unit / width as f64;
    format!("<div class=\"scale\"><span style=\"width:{share:.3}%\"></span>{text}</div>")
}

/// The largest of 1, 2, 5 and their tenfolds that is no larger.
fn round_below(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let nice = [5.0, 2.0, 1.0].map(|m| m * power);
    nice.into_iter().find(|&length| length <= value * 1.001).unwrap_or(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bar's text, and how many of the picture's pixels it is long.
    fn bar(width: usize, pixel_nm: Option<f64>) -> (String, f64) {
        let html = html(width, pixel_nm);
        let share = html.split("width:").nth(1).unwrap().split('%').next().unwrap();
        let text = html.rsplit("</span>").next().unwrap().trim_end_matches("</div>");
        (text.into(), share.parse::<f64>().unwrap() / 100.0 * width as f64)
    }

    #[test]
    fn a_bar_is_as_long_as_it_says() {
        for (width, pixel_nm, text, pixels) in [
            // 192 pixels of 8 nm are 1536 nm across.
            (192, Some(8.0), "200 nm", 25.0),
            (1024, Some(5.0), "1 µm", 200.0),
            (2048, Some(4.6), "2 µm", 434.7826),
            (500, Some(40.0), "5 µm", 125.0),
            (32, Some(8.0), "50 nm", 6.25),
            (192, None, "50 pixels", 50.0),
            (192, Some(0.0), "50 pixels", 50.0),
            (4, None, "1 pixel", 1.0),
        ] {
            let (found, length) = bar(width, pixel_nm);
            assert_eq!(found, text, "{width} {pixel_nm:?}");
            assert!((length - pixels).abs() < 1e-4 * width as f64, "{length} {pixels}");
        }
    }
}
