//! Two windows on one project.

use super::{Desk, where_is};
use crate::browser::Browser;
use crate::world::PATCH;

#[test]
fn strokes_show_in_the_other_window_without_a_reload() {
    let mut desk = Desk::open([1280, 800]);
    let address = format!("http://{}/", desk.server.address);
    let mut other = Browser::open(&address, [1280, 800]);
    other.until("window.askem !== undefined && askem.current() === 0");
    if other.value("document.querySelector('#hint').hidden") == false {
        other.click("#hint-close");
    }
    for (i, pixel) in [[8, 8], [20, 9]].into_iter().enumerate() {
        desk.stroke(&[pixel]);
        let painted = desk.labels();
        assert!(where_is(&painted, 1).len() > i);
        let same = format!("JSON.stringify(Array.from(askem.labels())) === '{}'", {
            serde_json::to_string(&painted).unwrap()
        });
        other.until(&same);
        let named =
            other.value("/Another window/.test(document.querySelector('#note').textContent)");
        assert_eq!(named, true);
    }
    // What both painted is on the disk, and in both windows.
    let at = other.value("askem.patchToScreen(8, 24)");
    let at = [0, 1].map(|i| at[i].as_f64().unwrap());
    other.drag(&[at]);
    other.value("askem.idle()");
    let both = other.value("JSON.stringify(Array.from(askem.labels()))");
    let both = both.as_str().unwrap().to_string();
    desk.browser.until(&format!("JSON.stringify(Array.from(askem.labels())) === '{both}'"));
    let labels = desk.labels();
    assert!([8 * PATCH + 8, 9 * PATCH + 20, 24 * PATCH + 8].iter().all(|&i| labels[i] == 1));
}
