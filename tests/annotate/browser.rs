//! A headless browser, told over pipes what a person does: real pointer and key events.
//!
//! The protocol: <https://chromedevtools.github.io/devtools-protocol/>, each message ended by a zero
//! byte.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tools::tool;

/// No answer takes nearly so long, on a machine that does other things too.
const LIMIT: Duration = Duration::from_secs(90);

/// A page in a browser.
pub(crate) struct Browser {
    process: Child,
    commands: File,
    answers: Receiver<Value>,
    session: String,
    next: u64,
    _folder: TempDir,
}

impl Browser {
    /// Opens a page in a window of so many pixels.
    pub(crate) fn open(url: &str, [width, height]: [u32; 2]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pipe = |name: &str| {
            let path = folder.path().join(name);
            assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
            path
        };
        let (to, from) = (pipe("to"), pipe("from"));
        let log = File::create(folder.path().join("log")).unwrap();
        let process = Command::new("sh")
            .arg("-c")
            .arg("exec \"$@\" 3<\"$TO\" 4>\"$FROM\"")
            .arg("browser")
            .arg(tool("browser"))
            .args(["--headless=new", "--no-sandbox", "--remote-debugging-pipe"])
            .args(["--disable-dev-shm-usage", "--no-first-run", "--disable-gpu"])
            .args(["--disable-background-networking", "--disable-component-update"])
            .args(["--disable-sync", "--disable-default-apps", "--force-device-scale-factor=1"])
            .arg(format!("--window-size={width},{height}"))
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .arg("about:blank")
            .env("TO", &to)
            .env("FROM", &from)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let commands = OpenOptions::new().write(true).open(&to).unwrap();
        let mut from = File::open(&from).unwrap();
        let (sender, answers) = channel();
        spawn(move || {
            let (mut gathered, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
            while let Ok(n @ 1..) = from.read(&mut buffer) {
                gathered.extend(&buffer[..n]);
                while let Some(end) = gathered.iter().position(|&b| b == 0) {
                    let message: Vec<u8> = gathered.drain(..=end).collect();
                    let message = serde_json::from_slice(&message[..end]).unwrap();
                    if sender.send(message).is_err() {
                        return;
                    }
                }
            }
        });
        let session = String::new();
        let mut browser = Self { process, commands, answers, session, next: 0, _folder: folder };
        let targets = browser.call("Target.getTargets", json!({}));
        let all = targets["targetInfos"].as_array().unwrap();
        let page = all.iter().find(|target| target["type"] == "page").expect("a page");
        let to = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", to);
        browser.session = attached["sessionId"].as_str().unwrap().into();
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        browser.call("Emulation.setDeviceMetricsOverride", size);
        browser.call("Page.enable", json!({}));
        browser.call("Page.navigate", json!({ "url": url }));
        browser
    }

    /// Sends a command, and gives what it came to.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.commands.write_all(message.to_string().as_bytes()).unwrap();
        self.commands.write_all(&[0]).unwrap();
        let clock = Instant::now();
        loop {
            let answer = self
                .answers
                .recv_timeout(LIMIT.saturating_sub(clock.elapsed()))
                .unwrap_or_else(|e| panic!("{method}: {e}"));
            if answer["id"] == self.next {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// The value of an expression in the page, or of its promise.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let what = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", what);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) fn until(&mut self, expression: &str) {
        let clock = Instant::now();
        while self.value(expression) != true {
            assert!(clock.elapsed() < LIMIT, "does not come true: {expression}");
            sleep(Duration::from_millis(50));
        }
    }

    fn mouse(&mut self, kind: &str, [x, y]: [f64; 2], buttons: u32) {
        let event = json!({
            "type": kind, "x": x, "y": y, "button": if kind == "mouseMoved" { "none" } else { "left" },
            "buttons": buttons, "clickCount": 1, "pointerType": "mouse",
        });
        self.call("Input.dispatchMouseEvent", event);
    }

    /// Presses at the first point, moves along the others, and lifts at the last.
    pub(crate) fn drag(&mut self, points: &[[f64; 2]]) {
        self.mouse("mouseMoved", points[0], 0);
        self.mouse("mousePressed", points[0], 1);
        points[1..].iter().for_each(|&point| self.mouse("mouseMoved", point, 1));
        self.mouse("mouseReleased", points[points.len() - 1], 0);
    }

    /// Clicks an element in its middle.
    pub(crate) fn click(&mut self, selector: &str) {
        let place = self.value(&format!(
            "(() => {{ const e = document.querySelector('{selector}'); \
             e.scrollIntoView({{ block: 'center' }}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        ));
        let at = [0, 1].map(|i| place[i].as_f64().unwrap_or_else(|| panic!("no {selector}")));
        self.drag(&[at]);
    }

    /// Presses and lifts a key, with modifiers as the protocol counts them (2 is Ctrl, 8 is Shift).
    pub(crate) fn key(&mut self, key: &str, code: &str, modifiers: u32) {
        let number = match key {
            "Enter" => 13,
            "Escape" => 27,
            _ => key.to_ascii_uppercase().bytes().next().map_or(0, u32::from),
        };
        let has_text = key.chars().count() == 1 && modifiers & 2 == 0;
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({
                "type": kind, "key": key, "code": code, "modifiers": modifiers,
                "windowsVirtualKeyCode": number,
            });
            if kind == "keyDown" && has_text {
                event["text"] = key.into();
            }
            self.call("Input.dispatchKeyEvent", event);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends its own children when it is asked to.
        let _ = self.commands.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let clock = Instant::now();
        while clock.elapsed() < Duration::from_secs(5) {
            if let Ok(Some(_)) = self.process.try_wait() {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
