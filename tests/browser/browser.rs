//! A headless browser as an executor of plans.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use askem::compute::executor::{Executor, PlanId};
use askem::compute::plan::{BufferId, Plan, Storage, View};
use askem::{Error, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{self, Server};
use crate::tools::tool;

/// How long a browser may take to come up, or to do what one message asks for.
const PATIENCE: Duration = Duration::from_secs(120);

/// A page in a browser that computes with WebGPU.
pub(crate) struct Browser {
    /// `None` once the page has to end.
    server: Option<Server>,
    process: Child,
    folder: TempDir,
    name: String,
    plans: Vec<Option<Plan>>,
    /// Passes that the page has.
    modules: BTreeSet<&'static str>,
    /// Sizes of the shared buffers.
    shared: HashMap<String, usize>,
    /// Commands that the page has not got yet, and their words.
    commands: Vec<Value>,
    words: Vec<u8>,
    /// Elements that bindings reach beyond their views, so that stray writes show.
    slack: usize,
}

impl Browser {
    /// Starts the browser and waits for its page. Panics with what the browser said if it does not come up.
    pub(crate) fn open(slack: usize) -> Self {
        let program = tool("browser");
        let server = server::start().expect("a port on loopback is free");
        let folder = tempfile::tempdir().expect("a folder for the browser");
        let log = File::create(folder.path().join("log")).expect("the browser's log");
        let process = Command::new(&program)
            .args(["--headless=new", "--no-sandbox", "--enable-unsafe-webgpu"])
            .args(["--use-webgpu-adapter=swiftshader", "--disable-dev-shm-usage"])
            .args(["--disable-quic", "--no-first-run", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync", "--disable-default-apps"])
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .arg(format!("http://{}/", server.address))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        let mut browser = Self {
            server: Some(server),
            process,
            folder,
            name: "browser".into(),
            plans: Vec::new(),
            modules: BTreeSet::new(),
            shared: HashMap::new(),
            commands: Vec::new(),
            words: Vec::new(),
            slack,
        };
        match browser.answer() {
            Ok(hello) => browser.name = String::from_utf8_lossy(&hello).into_owned(),
            Err(error) => panic!("{error}"),
        }
        browser
    }

    /// The end of what the browser wrote.
    fn log(&self) -> String {
        let text = fs::read(self.folder.path().join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    fn answer(&mut self) -> Result<Vec<u8>> {
        let fail = |what: String| Error::Device(format!("the browser's page: {what}"));
        let server = self.server.as_ref().expect("the browser is open");
        let start = Instant::now();
        loop {
            match server.answers.recv_timeout(Duration::from_millis(200)) {
                Ok(Ok(bytes)) => return Ok(bytes),
                Ok(Err(what)) => return Err(fail(what)),
                Err(RecvTimeoutError::Disconnected) => return Err(fail("no server".into())),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Ok(Some(status)) = self.process.try_wait() {
                return Err(fail(format!("the browser has ended: {status}\n{}", self.log())));
            }
            if start.elapsed() > PATIENCE {
                let seconds = PATIENCE.as_secs();
                return Err(fail(format!("no answer in {seconds} seconds\n{}", self.log())));
            }
        }
    }

    /// Sends what has gathered, and returns the words of the read at its end.
    fn send(&mut self) -> Result<Vec<u8>> {
        let header = Value::from(std::mem::take(&mut self.commands)).to_string();
        let mut message = Vec::new();
        message.extend_from_slice(&(header.len() as u32).to_le_bytes());
        message.extend_from_slice(header.as_bytes());
        message.resize(message.len().next_multiple_of(4), 0);
        message.append(&mut self.words);
        let server = self.server.as_ref().expect("the browser is open");
        let gone = |_| Error::Device("the browser's page is gone".into());
        server.messages.send(message).map_err(gone)?;
        self.answer()
    }

    /// What the page calls a buffer's memory.
    fn key(&self, id: PlanId, plan: &Plan, buffer: BufferId) -> String {
        let about = &plan.buffers[buffer.index()];
        match about.storage {
            Storage::Shared => format!("shared {}", about.name),
            Storage::Kept | Storage::Transient => {
                let slot = about.slot.expect("a buffer that is used has memory");
                format!("plan {} slot {slot}", id.number())
            }
        }
    }

    fn live(&self, id: PlanId) -> &Plan {
        self.plans[id.number()].as_ref().expect("the plan is not released")
    }
}

impl Executor for Browser {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn prepare(&mut self, plan: Plan) -> Result<PlanId> {
        let id = PlanId::new(self.plans.len());
        for buffer in plan.buffers.iter().filter(|buffer| buffer.storage == Storage::Shared) {
            if self.shared.insert(buffer.name.clone(), buffer.len).is_none() {
                let (key, bytes) = (format!("shared {}", buffer.name), buffer.len.max(1) * 4);
                self.commands.push(json!({ "op": "buffer", "key": key, "bytes": bytes }));
            }
        }
        for (slot, &len) in plan.slots.iter().enumerate() {
            let (key, bytes) = (format!("plan {} slot {slot}", id.number()), len.max(1) * 4);
            self.commands.push(json!({ "op": "buffer", "key": key, "bytes": bytes }));
        }
        for step in plan.sections.iter().flat_map(|section| &section.steps) {
            let name = step.call.signature().name;
            if self.modules.insert(name) {
                let entry = askem_wgsl::launch(&step.call).entry;
                let writable: Vec<bool> = entry.bindings.iter().map(|b| b.writable).collect();
                self.commands.push(json!({
                    "op": "module",
                    "name": name,
                    "source": entry.forms[0].source(&[]),
                    "entryPoint": entry.pass,
                    "writable": writable,
                }));
            }
        }
        self.plans.push(Some(plan));
        self.send()?;
        Ok(id)
    }

    fn plan(&self, id: PlanId) -> &Plan {
        self.live(id)
    }

    fn release(&mut self, id: PlanId) {
        let plan = self.plans[id.number()].take().expect("the plan is not released");
        for slot in 0..plan.slots.len() {
            let key = format!("plan {} slot {slot}", id.number());
            self.commands.push(json!({ "op": "free", "key": key }));
        }
    }

    fn write(&mut self, id: PlanId, buffer: BufferId, data: &[u32]) -> Result<()> {
        let key = self.key(id, self.live(id), buffer);
        let bytes: &[u8] = bytemuck::cast_slice(data);
        self.commands.push(json!({ "op": "write", "key": key, "bytes": bytes.len() }));
        self.words.extend_from_slice(bytes);
        Ok(())
    }

    fn read(&mut self, id: PlanId, buffer: BufferId, data: &mut [u32]) -> Result<()> {
        let key = self.key(id, self.live(id), buffer);
        self.commands.push(json!({ "op": "read", "key": key, "bytes": data.len() * 4 }));
        let bytes = self.send()?;
        let into: &mut [u8] = bytemuck::cast_slice_mut(data);
        assert_eq!(bytes.len(), into.len(), "{key}: bytes read");
        into.copy_from_slice(&bytes);
        Ok(())
    }

    fn run(&mut self, id: PlanId, section: &str) -> Result<()> {
        let plan = self.live(id);
        let steps = &plan.section(section).expect("the plan has the section").steps;
        let steps = steps.iter().map(|step| {
            let view = |view: &View| {
                let buffer = &plan.buffers[view.buffer.index()];
                let memory = buffer.slot.map_or(buffer.len, |slot| plan.slots[slot]);
                let len = (view.len + self.slack).min(memory - view.offset);
                let key = self.key(id, plan, view.buffer);
                json!({ "key": key, "offset": view.offset * 4, "size": len * 4 })
            };
            let params: &[u32] = bytemuck::cast_slice(step.call.params());
            json!({
                "name": step.call.signature().name,
                "params": params,
                "views": step.reads.iter().chain(&step.writes).map(view).collect::<Vec<_>>(),
                "workgroups": askem_wgsl::launch(&step.call).workgroups,
            })
        });
        let steps: Vec<Value> = steps.collect();
        self.commands.push(json!({ "op": "run", "steps": steps }));
        self.send().map(drop)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The page's loop ends, and the processes that the browser has started go with it.
        self.server = None;
        let ended = self.process.kill().and_then(|()| self.process.wait());
        if let Err(error) = ended {
            writeln!(io::stderr(), "the browser does not end: {error}").ok();
        }
    }
}
