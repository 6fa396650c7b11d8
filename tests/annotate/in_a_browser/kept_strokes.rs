//! Strokes while the server, the disk or the person goes away.

use super::Desk;
use crate::browser::Browser;
use crate::client::Server;

#[test]
fn a_server_that_goes_away_is_told_and_the_stroke_is_kept() {
    let desk = Desk::open([1280, 800]);
    let Desk { mut browser, server, world } = desk;
    let port = server.address.rsplit_once(':').unwrap().1.to_string();
    server.kill();
    let place = |browser: &mut Browser, x: usize, y: usize| {
        let place = browser.value(&format!("askem.patchToScreen({x}, {y})"));
        [0, 1].map(|i| place[i].as_f64().unwrap())
    };
    let at = place(&mut browser, 12, 12);
    browser.drag(&[at]);
    browser.until(
        "/not saved|does not answer/.test(document.querySelector('#save-state').textContent)",
    );
    let painted = browser.value("Array.from(askem.labels())");
    let server = Server::start_on_port(&world.at("brain"), &port);
    browser.value("askem.idle()");
    let labels = server.get("/api/labels?id=0").body;
    assert_eq!(serde_json::json!(labels), painted);
    assert!(labels.contains(&1));
}

#[test]
fn a_stroke_that_was_not_saved_is_back_on_the_next_visit() {
    let mut desk = Desk::open([1280, 800]);
    // One that is acknowledged comes before it.
    desk.stroke(&[[20, 20]]);
    desk.browser.value("askem.idle()");
    let [x, y] = desk.on_screen([8, 8]);
    let Desk { mut browser, server, world } = desk;
    let address = server.address.clone();
    let port = address.rsplit_once(':').unwrap().1.to_string();
    server.kill();
    browser.drag(&[[x, y]]);
    browser.until(
        "/not saved|does not answer/.test(document.querySelector('#save-state').textContent)",
    );
    let painted = browser.value("Array.from(askem.labels())");
    browser.call("Page.navigate", serde_json::json!({ "url": "about:blank" }));
    browser.until("location.href === 'about:blank'");
    let server = Server::start_on_port(&world.at("brain"), &port);
    let url = format!("http://{address}/");
    browser.call("Page.navigate", serde_json::json!({ "url": url }));
    browser.until("window.askem !== undefined && askem.current() === 0");
    browser.until("/are back/.test(document.querySelector('#note').textContent)");
    browser.value("askem.idle()");
    assert_eq!(browser.value("Array.from(askem.labels())"), painted);
    assert_eq!(serde_json::json!(server.get("/api/labels?id=0").body), painted);
}

#[test]
fn a_long_stroke_that_is_taken_back_is_taken_off_the_disk() {
    let mut desk = Desk::open([1280, 800]);
    let [x, y] = desk.on_screen([8, 8]);
    let mouse = |desk: &mut Desk, kind: &str, x: f64| {
        let button = if kind == "mouseMoved" { "none" } else { "left" };
        let event = serde_json::json!({
            "type": kind, "x": x, "y": y, "button": button, "buttons": 1, "clickCount": 1,
        });
        desk.browser.call("Input.dispatchMouseEvent", event);
    };
    mouse(&mut desk, "mousePressed", x);
    // It is sent while it lasts.
    let sent = (0..200_u32).any(|step| {
        mouse(&mut desk, "mouseMoved", x + f64::from(step % 40));
        std::thread::sleep(std::time::Duration::from_millis(50));
        desk.server.get("/api/labels?id=0").body.contains(&1)
    });
    assert!(sent);
    desk.browser.key("Escape", "Escape", 0);
    mouse(&mut desk, "mouseReleased", x);
    assert!(desk.labels().iter().all(|&label| label == 255));
}

#[test]
fn a_disk_that_refuses_is_told_and_the_stroke_is_kept_until_it_takes_it() {
    let mut desk = Desk::open([1280, 800]);
    let dir = desk.world.at("brain");
    // A file where the folder has to be.
    std::fs::rename(dir.join("labels"), dir.join("away")).unwrap();
    std::fs::write(dir.join("labels"), "").unwrap();
    let at = desk.on_screen([9, 9]);
    desk.browser.drag(&[at]);
    desk.browser.until("/not saved/.test(document.querySelector('#save-state').textContent)");
    assert!(
        desk.browser.value("Array.from(askem.labels())").as_array().unwrap().contains(&1.into())
    );
    assert!(desk.server.get("/api/labels?id=0").body.iter().all(|&label| label == 255));
    std::fs::remove_file(dir.join("labels")).unwrap();
    std::fs::rename(dir.join("away"), dir.join("labels")).unwrap();
    assert!(desk.labels().contains(&1));
    desk.browser.until("document.querySelector('#save-state').textContent === 'saved'");
}
