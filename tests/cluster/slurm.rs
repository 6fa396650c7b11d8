//! A Slurm of one node: its daemons as this user, on loopback, with all that they write in one folder.

use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::pool::{Owned, Pool, scripts};
use crate::tools::tool;

/// Daemons, the last started first.
struct Slurm {
    folder: tempfile::TempDir,
    daemons: Vec<Owned>,
}

impl Drop for Slurm {
    fn drop(&mut self) {
        while let Some(daemon) = self.daemons.pop() {
            drop(daemon);
        }
    }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// A program of Slurm, which is not in every user's path.
fn program(name: &str) -> PathBuf {
    let folder = tool("slurm");
    [folder.join("sbin"), folder.join("bin")]
        .map(|bin| bin.join(name))
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is missing in {}", folder.display()))
}

impl Slurm {
    fn start(pool: &Pool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["state", "spool"] {
            fs::create_dir(at(name)).unwrap();
        }
        let host = said("hostname", &["-s"]);
        let user = said("id", &["-un"]);
        let ports: Vec<u16> = [(); 2]
            .map(|()| TcpListener::bind("127.0.0.1:0").unwrap())
            .iter()
            .map(|listener| listener.local_addr().unwrap().port())
            .collect();
        let show = |name: &str| at(name).display().to_string();
        let lines = [
            "ClusterName=test".into(),
            format!("SlurmctldHost={host}(127.0.0.1)"),
            "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny".into(),
            format!("SlurmctldPort={}", ports[0]),
            format!("SlurmdPort={}", ports[1]),
            "AuthType=auth/munge".into(),
            format!("AuthInfo=socket={}", show("munge.socket")),
            "CredType=cred/munge".into(),
            format!("SlurmUser={user}"),
            format!("SlurmdUser={user}"),
            "ProctrackType=proctrack/linuxproc".into(),
            "TaskPlugin=task/none".into(),
            "SelectType=select/cons_tres".into(),
            "SelectTypeParameters=CR_Core".into(),
            // The scheduler of a cluster looks at dependencies every half minute.
            "SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1".into(),
            format!("StateSaveLocation={}", show("state")),
            format!("SlurmdSpoolDir={}", show("spool")),
            format!("SlurmctldPidFile={}", show("slurmctld.pid")),
            format!("SlurmdPidFile={}", show("slurmd.pid")),
            "ReturnToService=2".into(),
            // It may have fewer cores than the parts that run at a time.
            "SlurmdParameters=config_overrides".into(),
            "MpiDefault=none".into(),
            format!("NodeName={host} NodeAddr=127.0.0.1 CPUs=3 RealMemory=1000 State=UNKNOWN"),
            "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=YES".into(),
        ];
        fs::write(at("slurm.conf"), lines.join("\n") + "\n").unwrap();
        // The daemon refuses keys that others can read.
        fs::write(
            at("munge.key"),
            said("head", &["-c", "128", "/proc/sys/kernel/random/uuid"]).repeat(8),
        )
        .unwrap();
        fs::set_permissions(at("munge.key"), Permissions::from_mode(0o400)).unwrap();
        let mut slurm = Self { folder, daemons: Vec::new() };
        let option = |name: &str, file: &str| format!("--{name}={}", show_in(&slurm, file));
        let munge = [
            option("socket", "munge.socket"),
            option("key-file", "munge.key"),
            option("pid-file", "munge.pid"),
            option("log-file", "munge.log"),
            option("seed-file", "munge.seed"),
            "--foreground".into(),
            "--force".into(),
        ];
        slurm.daemon(pool, "munged", &munge);
        let socket = slurm.folder.path().join("munge.socket");
        pool.wait("munge", &mut || (), || socket.exists().then_some(()));
        slurm.daemon(pool, "slurmctld", &["-D".into()]);
        slurm.daemon(pool, "slurmd", &["-D".into()]);
        pool.wait("an idle node", &mut || (), || {
            let output = slurm.command("sinfo").args(["--noheader", "--format=%t"]).output();
            (String::from_utf8_lossy(&output.unwrap().stdout).trim() == "idle").then_some(())
        });
        slurm
    }

    fn daemon(&mut self, pool: &Pool, name: &str, arguments: &[String]) {
        let log = || Stdio::from(File::create(pool.path(&format!("{name}.log"))).unwrap());
        let child = self.command(name).args(arguments).stdout(log()).stderr(log()).spawn();
        self.daemons.push(Owned(child.unwrap_or_else(|e| panic!("{name}: {e}"))));
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        command.env("SLURM_CONF", self.folder.path().join("slurm.conf")).stdin(Stdio::null());
        command
    }
}

fn show_in(slurm: &Slurm, name: &str) -> String {
    slurm.folder.path().join(name).display().to_string()
}

#[test]
fn slurm_scores_and_chooses_through_a_kill() {
    let pool = Pool::new();
    let slurm = Slurm::start(&pool);
    let path = std::env::var("PATH").unwrap_or_default();
    let bin = tool("slurm").join("bin");
    let output = Command::new(scripts().join("slurm/submit.sh"))
        .arg(pool.path("pool.env"))
        .current_dir(pool.path("."))
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("SLURM_CONF", slurm.folder.path().join("slurm.conf"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}; {}", pool.logs());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("parts: job 1, choice: job 2"), "{text}");
    pool.survives_a_kill(|| {
        let output = slurm.command("squeue").args(["--noheader", "--format=%i"]).output().unwrap();
        let waiting = !String::from_utf8_lossy(&output.stdout).trim().is_empty();
        assert!(waiting || pool.path("picks.jsonl").exists(), "{output:?}; {}", pool.logs());
    });
    assert!(pool.logs().contains("askem was killed (status 137, attempt 1 of 3)"));
}
