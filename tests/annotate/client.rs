//! The server of a project at work, and requests to it over loopback.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::binary;

/// No answer takes nearly so long.
const LIMIT: Duration = Duration::from_secs(60);

/// A server, ended with the test.
pub(crate) struct Server {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    /// What has to be brought, beyond loopback.
    pub(crate) token: Option<String>,
}

/// What a request came to.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// All headers, in lower case.
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line = self.headers.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        Some(line[name.len() + 1..].trim())
    }
}

impl Server {
    /// Serves a project on a free port.
    pub(crate) fn start(project: &Path) -> Self {
        Self::start_with(project, "127.0.0.1", "0")
    }

    /// Serves a project where another server was.
    pub(crate) fn start_on_port(project: &Path, port: &str) -> Self {
        Self::start_with(project, "127.0.0.1", port)
    }

    /// Serves a project on a free port of an address.
    pub(crate) fn start_at(project: &Path, host: &str) -> Self {
        Self::start_with(project, host, "0")
    }

    fn start_with(project: &Path, host: &str, port: &str) -> Self {
        let mut child = Command::new(binary())
            .arg("annotate")
            .arg(project)
            .args(["--host", host, "--port", port, "--device", "cpu", "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = Vec::new();
        let mut out = child.stdout.take().expect("it is piped");
        let mut byte = [0];
        while out.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
            line.extend(byte);
        }
        let told: Value = serde_json::from_slice(&line).expect("it says where it listens");
        let url = told["url"].as_str().unwrap();
        let (address, rest) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let token = rest.strip_prefix("?token=").map(str::to_string);
        let port = address.rsplit_once(':').unwrap().1;
        Self { child, address: format!("127.0.0.1:{port}"), token }
    }

    /// Sends a request, with `headers` as lines; a `Host` that is not given is the server's.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Reply {
        self.try_ask(method, path, headers, body).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    pub(crate) fn try_ask(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &[u8],
    ) -> std::io::Result<Reply> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|line| line.to_ascii_lowercase().starts_with("host:")) {
            head += &format!("Host: {}\r\n", self.address);
        }
        head += &format!("Content-Length: {}\r\n", body.len());
        headers.iter().for_each(|line| head += &format!("{line}\r\n"));
        stream.write_all(head.as_bytes())?;
        stream.write_all(b"\r\n")?;
        stream.write_all(body)?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        let broken = || std::io::Error::other("no whole answer");
        let split = bytes.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(broken)?;
        let headers = String::from_utf8_lossy(&bytes[..split]).to_ascii_lowercase();
        let status = headers.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(broken)?;
        let body = bytes.split_off(split + 4);
        let reply = Reply { status, headers, body };
        // A connection that was cut off looks like a short answer.
        match reply.header("content-length").map(|n| n.parse::<usize>()) {
            Some(Ok(length)) if length != reply.body.len() => Err(broken()),
            _ => Ok(reply),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], &[])
    }

    /// A request of the page that changes something.
    pub(crate) fn change(&self, method: &str, path: &str) -> Reply {
        self.ask(method, path, &["X-Askem: 1"], &[])
    }

    /// Sends labels of a patch that is as `etag` says.
    pub(crate) fn put(&self, id: u64, etag: &str, labels: &[u8]) -> std::io::Result<Reply> {
        let known = format!("If-Match: \"{etag}\"");
        self.try_ask("PUT", &format!("/api/labels?id={id}"), &["X-Askem: 1", &known], labels)
    }

    pub(crate) fn project(&self) -> Value {
        self.get("/api/project").json()
    }

    /// Waits until the state is as wanted.
    pub(crate) fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let clock = Instant::now();
        loop {
            let state = self.get("/api/state?since=0").json();
            if wanted(&state) {
                return state;
            }
            assert!(clock.elapsed() < LIMIT, "what is awaited does not come: {state}");
            sleep(Duration::from_millis(100));
        }
    }

    /// Ends the server as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
