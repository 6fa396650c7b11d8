//! The page, driven by real pointer and key events in headless Chromium.

use serde_json::Value;

use crate::browser::Browser;
use crate::client::Server;
use crate::program::askem;
use crate::world::{PATCH, World, label_file, place, read_png};

mod kept_strokes;
mod two_windows;

/// A project, its server and its page.
struct Desk {
    browser: Browser,
    server: Server,
    world: World,
}

impl Desk {
    fn open(size: [u32; 2]) -> Self {
        let world = World::new();
        let server = Server::start(&world.init("brain"));
        let mut browser = Browser::open(&format!("http://{}/", server.address), size);
        browser.until("window.askem !== undefined && askem.current() === 0");
        browser.until("document.querySelector('#view') !== null");
        if browser.value("document.querySelector('#hint').hidden") == false {
            browser.click("#hint-close");
        }
        Self { browser, server, world }
    }

    /// Where the centre of a pixel of the patch in view is on the screen.
    fn on_screen(&mut self, [x, y]: [usize; 2]) -> [f64; 2] {
        let place = self.browser.value(&format!("askem.patchToScreen({x}, {y})"));
        [0, 1].map(|i| place[i].as_f64().unwrap())
    }

    /// A stroke through pixels of the patch in view.
    fn stroke(&mut self, pixels: &[[usize; 2]]) {
        let points: Vec<[f64; 2]> = pixels.iter().map(|&pixel| self.on_screen(pixel)).collect();
        self.browser.drag(&points);
        self.browser.value("askem.idle()");
    }

    /// The labels of the patch in view as the page, the server and the file have them: the same.
    fn labels(&mut self) -> Vec<u8> {
        self.browser.value("askem.idle()");
        let shown = self.browser.value("Array.from(askem.labels())");
        let shown: Vec<u8> =
            shown.as_array().unwrap().iter().map(|label| label.as_u64().unwrap() as u8).collect();
        let id = self.current();
        assert_eq!(self.server.get(&format!("/api/labels?id={id}")).body, shown);
        let at = self.place_of(id);
        let file = label_file(&self.world.at("brain"), at);
        let on_disk = if file.exists() { read_png(&file) } else { vec![255; PATCH * PATCH] };
        assert_eq!(on_disk, shown);
        shown
    }

    fn current(&mut self) -> u64 {
        self.browser.value("askem.current()").as_u64().unwrap()
    }

    fn patch(&self, id: u64) -> Value {
        let project = self.server.project();
        let all = project["patches"].as_array().unwrap().clone();
        all.into_iter().find(|patch| patch["id"] == id).unwrap()
    }

    fn until_state(&self, id: u64, state: &str) {
        self.server.until(|_| self.patch(id)["state"] == state);
    }

    fn place_of(&self, id: u64) -> [usize; 3] {
        place(&self.patch(id))
    }

    fn set(&mut self, slider: &str, value: u32) {
        self.browser.value(&format!(
            "(() => {{ const e = document.querySelector('{slider}'); e.value = {value}; \
             e.dispatchEvent(new Event('input', {{ bubbles: true }})); \
             e.dispatchEvent(new Event('change', {{ bubbles: true }})); }})()"
        ));
    }
}

/// The pixels whose centres lie within half a diameter of a point.
fn disc([cx, cy]: [usize; 2], diameter: usize) -> Vec<usize> {
    let mut found = Vec::new();
    for y in 0..PATCH {
        for x in 0..PATCH {
            let [dx, dy] = [x.abs_diff(cx), y.abs_diff(cy)];
            if 4 * (dx * dx + dy * dy) <= diameter * diameter {
                found.push(y * PATCH + x);
            }
        }
    }
    found
}

fn where_is(labels: &[u8], label: u8) -> Vec<usize> {
    (0..labels.len()).filter(|&i| labels[i] == label).collect()
}

#[test]
fn what_is_painted_is_what_lies_on_the_disk() {
    let mut desk = Desk::open([1280, 800]);
    assert!(desk.labels().iter().all(|&label| label == 255));
    desk.set("#brush-size", 7);
    desk.stroke(&[[10, 12]]);
    let dot = desk.labels();
    assert_eq!(where_is(&dot, 1), disc([10, 12], 7), "a dot is a disc of the brush's size");

    // A fast stroke has no gaps.
    desk.stroke(&[[5, 25], [26, 25]]);
    let line = desk.labels();
    for x in 5..=26 {
        assert_eq!(line[25 * PATCH + x], 1, "column {x}");
    }
    desk.browser.key("z", "KeyZ", 2);
    assert!(desk.labels() == dot, "one step back is one stroke");
    desk.browser.key("z", "KeyZ", 2 | 8);
    assert!(desk.labels() == line, "and forth again");
    desk.browser.click("#undo");
    assert!(desk.labels() == dot);

    desk.browser.click("#class-background");
    desk.stroke(&[[20, 5]]);
    assert_eq!(where_is(&desk.labels(), 0), disc([20, 5], 7));
    desk.browser.click("#class-unsure");
    desk.stroke(&[[28, 28]]);
    let unsure = where_is(&desk.labels(), 254);
    assert_eq!(
        unsure,
        disc([28, 28], 7).into_iter().filter(|&i| i < PATCH * PATCH).collect::<Vec<_>>()
    );

    desk.browser.click("#tool-eraser");
    desk.stroke(&[[10, 12]]);
    assert!(where_is(&desk.labels(), 1).is_empty(), "erased");

    // Around a square, which is filled.
    desk.browser.click("#class-foreground");
    desk.browser.click("#tool-lasso");
    desk.stroke(&[[2, 15], [14, 15], [14, 28], [2, 28], [2, 15]]);
    let labels = desk.labels();
    for y in 17..27 {
        for x in 4..13 {
            assert_eq!(labels[y * PATCH + x], 1, "{x}, {y} lies within");
        }
    }
    assert!((0..PATCH).all(|x| labels[10 * PATCH + x] != 1), "and nothing beyond");

    // Done: what is left is background, and the next patch is shown.
    desk.browser.key("Enter", "Enter", 0);
    desk.browser.until("askem.current() === 1");
    desk.until_state(0, "done");
    let done = desk.server.get("/api/labels?id=0").body;
    for (before, after) in labels.iter().zip(&done) {
        assert_eq!(*after, if *before == 255 { 0 } else { *before });
    }
    // Skipped, back, and the undo of each patch is its own.
    desk.browser.key("s", "KeyS", 0);
    desk.browser.until("askem.current() === 2");
    desk.until_state(1, "skipped");
    desk.browser.click("#back");
    desk.browser.until("askem.current() === 1");
}

#[test]
fn a_query_is_finished_and_the_next_one_comes() {
    let mut desk = Desk::open([1280, 800]);
    desk.set("#brush-size", 1);
    desk.set("#specks", 0);
    for id in 0..4 {
        desk.browser.until(&format!("askem.current() === {id}"));
        // Row by row what is true, with a brush of one pixel.
        let at = desk.place_of(id);
        let truth = desk.world.truth(at);
        for y in 0..PATCH {
            let mut x = 0;
            while x < PATCH {
                let end = (x..PATCH).find(|&x| truth[y * PATCH + x] == 0).unwrap_or(PATCH);
                if end > x {
                    desk.stroke(&[[x, y], [end - 1, y]]);
                }
                x = end + 1;
            }
        }
        let painted: Vec<u8> = desk.labels().iter().map(|&l| u8::from(l == 1)).collect();
        assert!(painted == truth, "patch {id}");
        desk.browser.click("#done");
        desk.browser.until(&format!("askem.current() !== {id} || {id} === 3"));
    }
    // The network has something to say, which can be accepted.
    desk.server.until(|state| state["network"]["version"].as_u64() >= Some(1));
    desk.browser.click("#next-query");
    desk.browser.until("askem.current() === 4");
    assert_eq!(desk.server.project()["query"]["number"], 1);
    let area = {
        let [z, y, x] = desk.place_of(4);
        format!("/api/prediction?z={z}&y={y}&x={x}&h={PATCH}&w={PATCH}")
    };
    let state = desk.server.until(|state| state["work"]["kind"] == "idle");
    let network = state["network"]["version"].as_u64().unwrap();
    desk.browser.until(&format!("askem.network() >= {network}"));
    let proposal: Vec<usize> = {
        let p = desk.server.get(&area).body;
        (0..p.len()).filter(|&i| p[i] >= 128).collect()
    };
    desk.browser.until("document.querySelector('#proposal-state').textContent === 'up to date'");
    desk.browser.key("a", "KeyA", 0);
    assert_eq!(where_is(&desk.labels(), 1), proposal, "the proposal is accepted as it is");
}

#[test]
fn strokes_are_timed_and_every_control_has_a_name() {
    let mut desk = Desk::open([2560, 1440]);
    desk.stroke(&[[4, 4], [8, 8], [12, 8], [16, 4], [20, 8]]);
    let latencies = desk.browser.value("Array.from(askem.strokeLatencies)");
    assert!(!latencies.as_array().unwrap().is_empty(), "they are measured");
    let nameless = desk.browser.value(
        "Array.from(document.querySelectorAll('button, input, select, [role=button], canvas[role]'))\
         .filter(e => !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || \
         e.labels?.length || e.textContent.trim() || e.title)).map(e => e.outerHTML)",
    );
    assert_eq!(nameless, serde_json::json!([]));
    // The list of keys, by a key.
    desk.browser.key("?", "Slash", 8);
    desk.browser.until("document.querySelector('dialog[open]') !== null");
    desk.browser.key("Escape", "Escape", 0);
    desk.browser.until("document.querySelector('dialog[open]') === null");
}

#[test]
fn the_page_shows_the_volume_and_what_is_painted() {
    for size in [[1280, 800], [2560, 1440]] {
        let mut desk = Desk::open(size);
        let before = picture(&mut desk.browser);
        for (class, pixels) in [
            ("#class-foreground", [[5, 8], [11, 10], [15, 15]]),
            ("#class-background", [[22, 5], [26, 10], [25, 15]]),
            ("#class-unsure", [[8, 25], [12, 24], [18, 26]]),
        ] {
            desk.browser.click(class);
            desk.stroke(&pixels);
        }
        desk.server.until(|state| state["network"]["version"].as_u64() >= Some(1));
        let after = picture(&mut desk.browser);
        // The sections' grey is there, and the three strokes changed thousands of pixels.
        let greys: std::collections::BTreeSet<&[u8]> = before.1.chunks(3).collect();
        assert!(greys.len() > 100, "{} colours", greys.len());
        let differ = before.1.chunks(3).zip(after.1.chunks(3)).filter(|(a, b)| a != b).count();
        assert!(differ > 2000, "{differ} pixels differ");
    }
}

#[test]
fn foreground_is_interpolated_between_two_labelled_sections() {
    let mut desk = Desk::open([1280, 800]);
    // Three patches of the person's own, one above the other.
    let [below, middle, above] = [0, 1, 2].map(|z| {
        let path = format!("/api/patch?z={z}&y=100&x=100");
        desk.server.change("POST", &path).json()["id"].as_u64().unwrap()
    });
    let button = format!("#patches button[data-id=\"{middle}\"]");
    desk.browser.until(&format!("document.querySelector('{button}') !== null"));
    desk.browser.click(&button);
    desk.browser.until(&format!("askem.current() === {middle}"));
    desk.browser.until("/ left$/.test(document.querySelector('#patch-shares').textContent)");
    // Sections are counted as in the names of files.
    assert_eq!(desk.place_of(middle)[0], 1);
    let text = "document.querySelector('#section-text').textContent";
    assert_eq!(desk.browser.value(text), "z 1 of 0\u{2013}3");

    // Without labels on both sides, the page says what is missing.
    assert_eq!(desk.browser.value("document.querySelector('#interpolate').disabled"), true);
    let lacks = "/^To interpolate, .* none within 8 sections before or after it/";
    desk.browser.until(&format!("{lacks}.test(document.querySelector('#interpolate').title)"));
    desk.browser.key("t", "KeyT", 0);
    desk.browser.until(&format!("{lacks}.test(document.querySelector('#note').textContent)"));

    for (id, radius) in [(below, 4), (above, 10)] {
        let mut labels = vec![0; PATCH * PATCH];
        disc([16, 16], 2 * radius).into_iter().for_each(|i| labels[i] = 1);
        let etag = desk.patch(id)["etag"].as_str().unwrap().to_string();
        assert_eq!(desk.server.put(id, &etag, &labels).unwrap().status, 200);
        desk.server.change("POST", &format!("/api/patch?id={id}&state=done"));
    }
    desk.browser.until("!document.querySelector('#interpolate').disabled");
    desk.set("#brush-size", 3);
    desk.browser.click("#class-background");
    desk.stroke(&[[16, 10], [16, 14]]);
    let before = desk.labels();
    assert_eq!(before[12 * PATCH + 16], 0);
    desk.browser.key("t", "KeyT", 0);
    desk.browser.until(
        "/^Foreground between z 0 and z 2 /.test(document.querySelector('#note').textContent)",
    );
    let after = desk.labels();
    for i in 0..PATCH * PATCH {
        let [dx, dy] = [(i % PATCH).abs_diff(16), (i / PATCH).abs_diff(16)];
        // A disc of radius 7, give or take a pixel.
        match (before[i], dx * dx + dy * dy) {
            (255, 0..=36) => assert_eq!(after[i], 1, "pixel {i} lies within"),
            (255, 64..) => assert_eq!(after[i], 255, "pixel {i} lies beyond"),
            (255, _) => {}
            (painted, _) => assert_eq!(after[i], painted, "pixel {i} was painted"),
        }
    }
    desk.browser.key("z", "KeyZ", 2);
    assert!(desk.labels() == before, "it is one step");
}

#[test]
fn the_token_does_not_stay_in_the_address() {
    let world = World::new();
    let server = Server::start_at(&world.init("brain"), "0.0.0.0");
    let token = server.token.clone().expect("a token");
    let address = format!("http://{}/", server.address);
    let mut browser = Browser::open(&format!("{address}?token={token}"), [1280, 800]);
    browser.until("window.askem !== undefined && askem.current() === 0");
    assert_eq!(browser.value("location.href"), address.as_str());
    // Nor is it needed there any more.
    browser.call("Page.navigate", serde_json::json!({ "url": address }));
    browser.until("window.askem !== undefined && askem.current() === 0");
}

/// Makes the picture that the documentation shows, in the folder `ASKEM_PICTURES`.
#[test]
#[ignore = "draws what docs/annotate.md shows, and takes minutes"]
fn a_picture_for_the_documentation() {
    let folder = std::env::var_os("ASKEM_PICTURES").expect("the folder that it is drawn in");
    let world = World::of([8, 512, 512]);
    let dir = world.at("brain");
    askem(["init"]).args([&dir]).path("--raw", &world.at("raw.tif")).succeed();
    let server = Server::start(&dir);
    let patches = server.project()["patches"].as_array().unwrap().clone();
    let truths: Vec<Vec<u8>> =
        patches.iter().map(|patch| world.truth_of(place(patch), 128)).collect();
    let foreground = |i: &usize| truths[*i].iter().filter(|&&label| label == 1).count();
    let shown = (0..patches.len()).max_by_key(foreground).unwrap();
    for (i, patch) in patches.iter().enumerate().filter(|(i, _)| *i != shown) {
        server.put(i as u64, patch["etag"].as_str().unwrap(), &truths[i]).unwrap();
        server.change("POST", &format!("/api/patch?id={i}&state=done"));
    }
    let mut browser = Browser::open(&format!("http://{}/", server.address), [1280, 800]);
    browser.until(&format!("window.askem !== undefined && askem.current() === {shown}"));
    browser.click("#hint-close");
    let mut desk = Desk { browser, server, world };
    let truth = &truths[shown];
    for (class, label) in [("#class-foreground", 1), ("#class-background", 0)] {
        desk.browser.click(class);
        // A stroke along the longest row of the class.
        let (mut best, mut run) = ((0, 0, 0), 0);
        for i in 0..truth.len() {
            run = if truth[i] == label && i % 128 > 12 { run + 1 } else { 0 };
            if run > best.0 && (20..108).contains(&(i / 128)) {
                best = (run, i % 128, i / 128);
            }
        }
        let (length, end, row) = best;
        let length = length.min(60);
        desk.stroke(&[[end - length + 8, row], [end - 8, row]]);
    }
    // Until the network has settled, which takes a minute or two.
    let mut state = Value::Null;
    for _ in 0..400 {
        state = desk.server.get("/api/state?since=0").json();
        if state["work"]["kind"] == "idle" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    let network = state["network"]["version"].as_u64().unwrap();
    desk.browser.until(&format!("askem.network() >= {network}"));
    desk.browser.until("document.querySelector('#proposal-state').textContent === 'up to date'");
    let ([width, height], pixels) = picture(&mut desk.browser);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    std::fs::write(std::path::Path::new(&folder).join("annotate.png"), bytes).unwrap();
}

/// What the window shows: its columns and rows, and red, green and blue of each pixel.
fn picture(browser: &mut Browser) -> ([u32; 2], Vec<u8>) {
    let told = browser.call("Page.captureScreenshot", serde_json::json!({ "format": "png" }));
    let bytes = base64(told["data"].as_str().unwrap());
    let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let pixels = match info.color_type {
        png::ColorType::Rgba => pixels.chunks(4).flat_map(|p| &p[..3]).copied().collect(),
        _ => pixels,
    };
    ([info.width, info.height], pixels)
}

/// Bytes out of their base64.
fn base64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u32> =
        text.bytes().filter(|&c| c != b'=').map(|c| u32::from(digit(c))).collect();
    let of = |group: &[u32]| {
        let bits = group.iter().enumerate().fold(0, |bits, (i, d)| bits | d << (18 - 6 * i));
        bits.to_be_bytes()[1..group.len()].to_vec()
    };
    digits.chunks(4).flat_map(of).collect()
}
