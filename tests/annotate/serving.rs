//! The server without its page: what it answers, to whom, and what survives.

use std::fs;
use std::process::Command;

use askem_kernels::rng::{Purpose, below, stream};

use crate::client::Server;
use crate::program::askem;
use crate::world::{PATCH, SHAPE, World, label_file, on, place, read_png, small};

#[test]
fn labels_are_on_the_disk_before_they_are_acknowledged_and_survive_kills() {
    let world = World::new();
    let dir = world.init("brain");
    let mut rng = stream(1, Purpose::Test, 0, 0);
    // By patch, what the server has acknowledged, and what was sent last.
    let mut acknowledged: Vec<Vec<u8>> = vec![vec![255; PATCH * PATCH]; 4];
    let mut sent = acknowledged.clone();
    let mut strokes = 0;
    for round in 0..50 {
        let server = Server::start(&dir);
        let patches = server.project()["patches"].as_array().unwrap().clone();
        for patch in &patches {
            let id = patch["id"].as_u64().unwrap();
            let there = server.get(&format!("/api/labels?id={id}")).body;
            let i = id as usize;
            // The last one may have come through without an answer.
            assert!(there == acknowledged[i] || there == sent[i], "patch {id} in round {round}");
            assert_eq!(read_or_none(&dir, place(patch)), there);
            (acknowledged[i], sent[i]) = (there.clone(), there);
        }
        let last = below(&mut rng, 6);
        let mut killer = None;
        for stroke in 0..=last {
            let i = below(&mut rng, 4) as usize;
            let mut labels = acknowledged[i].clone();
            let from = below(&mut rng, 900) as usize;
            labels[from..from + 100].fill(below(&mut rng, 2) as u8);
            let etag = patches[i]["etag"].as_str().unwrap();
            let now = server.try_ask("GET", &format!("/api/labels?id={i}"), &[], &[]);
            let Ok(now) = now else { break };
            let etag = now.header("etag").map_or(etag, |e| e.trim_matches('"')).to_string();
            if stroke == last {
                // In the middle of the last stroke.
                let (id, wait) = (server.id().to_string(), below(&mut rng, 12) as f64 / 1000.0);
                let line = format!("sleep {wait}; kill -9 {id}");
                killer = Some(Command::new("sh").args(["-c", &line]).spawn().unwrap());
            }
            sent[i].clone_from(&labels);
            match server.put(i as u64, &etag, &labels) {
                Ok(reply) if reply.status == 200 => {
                    acknowledged[i] = labels;
                    strokes += 1;
                }
                Ok(reply) => panic!("{reply:?}"),
                Err(_) => break,
            }
        }
        killer.map(|mut killer| killer.wait().unwrap());
        server.kill();
    }
    assert!(strokes > 50, "{strokes} strokes came through");
}

/// The labels in a patch's file; unlabelled where there is none.
fn read_or_none(dir: &std::path::Path, at: [usize; 3]) -> Vec<u8> {
    let file = label_file(dir, at);
    if file.exists() { read_png(&file) } else { vec![255; PATCH * PATCH] }
}

#[test]
fn only_the_page_of_this_server_may_ask() {
    let world = World::new();
    let server = Server::start(&world.init("brain"));
    assert_eq!(server.get("/").status, 200);
    let rebinding = server.ask("GET", "/api/project", &["Host: evil.example"], &[]);
    assert_eq!(rebinding.status, 403);
    let forged = server.ask("POST", "/api/patch?id=0&state=skipped", &[], &[]);
    assert_eq!(forged.status, 403);
    let from = ["X-Askem: 1", "Origin: http://evil.example"];
    assert_eq!(server.ask("POST", "/api/patch?id=0&state=skipped", &from, &[]).status, 403);
    assert_eq!(server.project()["patches"][0]["state"], "open");
    let policy = server.get("/").header("content-security-policy").unwrap().to_string();
    assert!(policy.contains("default-src 'self'") && !policy.contains("script-src"), "{policy}");
    for path in [
        "/page/../../../../etc/passwd",
        "/page/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/page//etc/passwd",
        "/api/labels?id=../../config.toml",
        "/api/labels?id=-1",
        "/api/labels?id=99999999999999999999",
        "/api/labels?id=77",
        "/api/tile?z=0&y=0&x=0&scale=0",
        "/api/tile?z=99&y=0&x=0&scale=1",
        "/api/tile?z=0&y=18446744073709551615&x=0&scale=1",
        "/api/prediction?z=0&y=18446744073709551615&x=0&h=2&w=2",
        "/api/prediction?z=0&y=0&x=0&h=0&w=0",
        "/nowhere",
    ] {
        let reply = server.get(path);
        assert!((400..500).contains(&reply.status), "{path}: {reply:?}");
        assert!(reply.json()["error"].as_str().is_some_and(|why| !why.is_empty()), "{path}");
    }
    for (method, path, status) in [
        ("POST", "/api/project", 405),
        ("GET", "/api/next", 405),
        ("POST", "/api/patch?id=0&state=nonsense", 400),
        ("DELETE", "/api/patch?id=999", 400),
        ("GET", "/api/prediction?z=0&y=0&x=0&h=8&w=8&kind=nonsense", 400),
    ] {
        let reply = server.change(method, path);
        assert_eq!(reply.status, status, "{method} {path}");
        assert!(reply.json()["error"].as_str().is_some_and(|why| !why.is_empty()), "{path}");
        assert_eq!(reply.header("allow").is_some(), status == 405, "{path}");
    }
    let etag = server.get("/api/labels?id=0").header("etag").unwrap().to_string();
    let large = server.put(0, etag.trim_matches('"'), &vec![255; 9 * PATCH * PATCH]).unwrap();
    assert_eq!((large.status, large.json()["error"].is_string()), (413, true));
    // Whatever it was asked, it goes on.
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn beyond_this_machine_a_token_is_needed() {
    let world = World::new();
    let dir = world.init("brain");
    let server = Server::start_at(&dir, "0.0.0.0");
    let token = server.token.clone().expect("a token");
    assert_eq!(server.get("/").status, 403);
    assert_eq!(server.get("/?token=0123456789abcdef0123456789abcdef").status, 403);
    let page = server.get(&format!("/?token={token}"));
    assert_eq!(page.status, 200);
    let cookie = page.header("set-cookie").unwrap().to_string();
    assert!(cookie.contains("httponly") && cookie.contains("samesite=strict"), "{cookie}");
    let cookie = format!("Cookie: {}", cookie.split(';').next().unwrap());
    assert!(cookie.ends_with(&token));
    assert_eq!(server.ask("GET", "/api/project", &[&cookie], &[]).status, 200);
}

#[test]
fn a_page_of_another_project_changes_nothing() {
    let world = World::new();
    let id_of = |server: &Server| server.project()["id"].as_str().unwrap().to_string();
    let here = Server::start(&world.init("brain"));
    let liver = world.at("liver");
    let init = askem(["init", "--seed", "5"]).args([&liver]).path("--raw", &world.at("raw.tif"));
    small(init).succeed();
    let there = Server::start(&liver);
    let (id, other) = (id_of(&here), id_of(&there));
    assert_ne!(id, other, "other patches are asked for");
    let labels = vec![1; PATCH * PATCH];
    let etag = here.project()["patches"][0]["etag"].as_str().unwrap().to_string();
    let put = |project: &str| {
        let headers = [
            "X-Askem: 1".into(),
            format!("If-Match: {etag}"),
            format!("X-Askem-Project: {project}"),
        ];
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        here.ask("PUT", "/api/labels?id=0", &headers, &labels)
    };
    let refused = put(&other);
    assert_eq!((refused.status, &refused.json()["project"]), (409, &serde_json::json!(id)));
    assert!(here.get("/api/labels?id=0").body.iter().all(|&label| label == 255));
    assert_eq!(put(&id).status, 200);
    assert_eq!(here.get("/api/labels?id=0").body, labels);
}

#[test]
fn two_windows_never_overwrite_each_other_silently() {
    let world = World::new();
    let dir = world.init("brain");
    let server = Server::start(&dir);
    let first = server.get("/api/labels?id=1");
    let etag = first.header("etag").unwrap().trim_matches('"').to_string();
    let mut here = first.body.clone();
    here[..10].fill(1);
    let reply = server.put(1, &etag, &here).unwrap();
    let newer = reply.json()["etag"].as_str().unwrap().to_string();
    let mut there = first.body;
    there[20..30].fill(0);
    let refused = server.put(1, &etag, &there).unwrap();
    assert_eq!((refused.status, &refused.json()["etag"]), (412, &newer.clone().into()));
    assert_eq!(server.get("/api/labels?id=1").body, here);
    assert_eq!(server.put(1, &newer, &there).unwrap().status, 200);
    let unknown = server.ask("PUT", "/api/labels?id=1", &["X-Askem: 1"], &here);
    assert_eq!(unknown.status, 428);
    for wrong in [vec![7; PATCH * PATCH], vec![0; 5], vec![0; 3 << 20]] {
        let etag = server.get("/api/labels?id=1").header("etag").unwrap().replace('"', "");
        let reply = server.put(1, &etag, &wrong);
        assert!(reply.is_err() || (400..500).contains(&reply.unwrap().status));
    }
    assert_eq!(server.get("/api/labels?id=1").body, there);
    // And two programs are not let at one project.
    on("learn", &dir).run().refuses(1, &["another askem process"]);
}

#[test]
fn the_network_follows_the_labels_and_asks_for_more() {
    let world = World::new();
    let dir = world.init("brain");
    let server = Server::start(&dir);
    let area = "/api/prediction?z=0&y=0&x=0&h=64&w=64";
    assert_eq!(server.get(area).status, 204, "there is no network yet");
    assert_eq!(server.change("POST", "/api/next").status, 409, "nothing is labelled");
    server.until(|state| state["work"]["kind"] == "waiting");
    for patch in server.project()["patches"].as_array().unwrap() {
        let id = patch["id"].as_u64().unwrap();
        // What is foreground is painted; what is left becomes background.
        let labels: Vec<u8> = world
            .truth(place(patch))
            .into_iter()
            .map(|label| if label == 1 { 1 } else { 255 })
            .collect();
        server.put(id, patch["etag"].as_str().unwrap(), &labels).unwrap();
        let done = server.change("POST", &format!("/api/patch?id={id}&state=done"));
        assert_eq!(done.status, 200);
        assert_eq!(server.get(&format!("/api/labels?id={id}")).body, world.truth(place(patch)));
    }
    // Where the processor is busy, a first network has seen fewer.
    let state = server.until(|state| state["network"]["labelled_patches"] == 4);
    assert!(state["network"]["version"].as_u64() >= Some(1), "{state}");
    let reply = server.get(area);
    assert_eq!((reply.status, reply.body.len()), (200, 64 * 64));
    let sure = server.get(&format!("{area}&kind=uncertainty"));
    for (&p, &entropy) in reply.body.iter().zip(&sure.body) {
        if reply.header("x-network") == sure.header("x-network") {
            let p = f64::from(p) / 255.0;
            let want = [p, 1.0 - p].map(|p| if p > 0.0 { -p * p.log2() } else { 0.0 });
            assert!((f64::from(entropy) / 255.0 - want[0] - want[1]).abs() < 0.04, "{p} {entropy}");
        }
    }
    assert_eq!(server.change("POST", "/api/next").status, 200);
    server.until(|state| state["curve"].as_array().unwrap().len() == 1);
    let project = server.project();
    assert_eq!(
        (&project["query"]["number"], project["patches"].as_array().unwrap().len()),
        (&1.into(), 6)
    );
    let map = server.get("/api/map").json();
    assert_eq!(map["patches"].as_array().unwrap().len(), 60 - 4, "all that could be asked for");
    // A patch of one's own, moved into the volume; asked for again it is the same.
    let [_, height, width] = SHAPE;
    let own = server.change("POST", &format!("/api/patch?z=1&y={height}&x={width}")).json();
    let id = own["id"].as_u64().unwrap();
    let place_of = |id: u64| {
        let project = server.project();
        let all = project["patches"].as_array().unwrap().clone();
        all.iter().find(|patch| patch["id"] == id).map(place)
    };
    let at = [1, height - PATCH, width - PATCH];
    assert_eq!(place_of(id), Some(at));
    let again = server.change("POST", &format!("/api/patch?z=1&y={}&x={}", at[1], at[2]));
    assert_eq!(again.json()["id"], id);
    assert_eq!(server.change("DELETE", &format!("/api/patch?id={id}")).status, 200);
    assert_eq!(place_of(id), None);
    let other = server.change("POST", "/api/patch?z=2&y=9&x=9").json();
    assert_ne!(other["id"], id, "no number is used twice");
    server.change("DELETE", &format!("/api/patch?id={}", other["id"]));
    assert_eq!(server.change("DELETE", "/api/patch?id=0").status, 400, "it was asked for");
    // To the end, and on the command line from there.
    assert_eq!(server.change("POST", "/api/learn").status, 200);
    assert_eq!(server.change("POST", "/api/learn").status, 409, "one after the other");
    server.until(|state| state["curve"].as_array().unwrap().len() == 2);
    server.kill();
    // A network that has settled chooses too, in a server that has trained nothing.
    let server = Server::start(&dir);
    assert_eq!(server.change("POST", "/api/next").status, 200);
    server.until(|state| state["curve"].as_array().unwrap().len() == 3);
    assert_eq!(server.get("/api/state?since=0").json()["problem"], serde_json::Value::Null);
    server.kill();
    let asked = on("query", &dir).args(["--json"]).succeed().json();
    assert_eq!((&asked["query"], asked["patches"].as_array().unwrap().len()), (&3.into(), 2));
    let lines = fs::read_to_string(dir.join("journal.jsonl")).unwrap().lines().count();
    assert_eq!(lines, 3);
}

#[test]
fn the_next_query_is_chosen_while_the_last_patch_is_painted() {
    let world = World::new();
    let dir = world.init("brain");
    let server = Server::start(&dir);
    let paint = |patch: &serde_json::Value| {
        let id = patch["id"].as_u64().unwrap();
        server.put(id, patch["etag"].as_str().unwrap(), &world.truth(place(patch))).unwrap();
        server.change("POST", &format!("/api/patch?id={id}&state=done"));
    };
    let patches = server.project()["patches"].as_array().unwrap().clone();
    let (last, others) = patches.split_last().unwrap();
    others.iter().for_each(paint);
    server.until(|state| state["next_ready"] == true);
    assert!(!dir.join("journal.jsonl").exists(), "nobody has asked yet");
    assert_eq!(server.project()["patches"].as_array().unwrap().len(), 4);
    paint(last);
    assert_eq!(server.change("POST", "/api/next").status, 200);
    let state = server.until(|state| state["curve"].as_array().unwrap().len() == 1);
    assert_eq!((&state["curve"][0]["labelled"], &state["next_ready"]), (&3.into(), &false.into()));
    let project = server.project();
    assert_eq!(
        (&project["query"]["number"], project["patches"].as_array().unwrap().len()),
        (&1.into(), 6)
    );
    // Training to the end does not wait for what is looked for meanwhile, and takes all labels.
    paint(&project["patches"][4]);
    assert_eq!(server.change("POST", "/api/learn").status, 200);
    let state = server.until(|state| state["curve"].as_array().unwrap().len() == 2);
    assert_eq!(state["curve"][1]["labelled"], 5);
    assert_eq!(state["problem"], serde_json::Value::Null);
}

#[test]
fn a_query_chosen_ahead_is_dropped_when_the_labels_change() {
    let world = World::new();
    let dir = world.init("brain");
    let server = Server::start(&dir);
    let put = |id: u64, labels: &[u8]| {
        let etag = server.get(&format!("/api/labels?id={id}")).header("etag").unwrap().to_string();
        assert_eq!(server.put(id, etag.trim_matches('"'), labels).unwrap().status, 200);
    };
    let patches = server.project()["patches"].as_array().unwrap().clone();
    for patch in &patches[..3] {
        let id = patch["id"].as_u64().unwrap();
        put(id, &world.truth(place(patch)));
        server.change("POST", &format!("/api/patch?id={id}&state=done"));
    }
    server.until(|state| state["next_ready"] == true);
    let foreground: usize = patches[..3]
        .iter()
        .map(|patch| {
            let inverted: Vec<u8> = world.truth(place(patch)).iter().map(|l| 1 - l).collect();
            put(patch["id"].as_u64().unwrap(), &inverted);
            inverted.iter().filter(|&&label| label == 1).count()
        })
        .sum();
    assert_eq!(server.change("POST", "/api/next").status, 200);
    server.until(|state| state["curve"].as_array().unwrap().len() == 1);
    let line = fs::read_to_string(dir.join("journal.jsonl")).unwrap();
    let record: serde_json::Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    let share = record["labelled_foreground"].as_f64().unwrap();
    assert_eq!(share, foreground as f64 / (3 * PATCH * PATCH) as f64, "the labels of now");
}

#[test]
fn a_round_that_is_cancelled_changes_nothing() {
    let world = World::new();
    let dir = world.at("brain");
    let raw = world.at("raw.tif");
    // Long enough to be caught at it.
    askem(["init", "--patch", "32", "--width", "4", "--pool", "60", "--initial", "4"])
        .args([&dir])
        .args(["--max-steps", "200000", "--epochs", "50000"])
        .path("--raw", &raw)
        .succeed();
    let server = Server::start(&dir);
    for patch in server.project()["patches"].as_array().unwrap() {
        let id = patch["id"].as_u64().unwrap();
        server.put(id, patch["etag"].as_str().unwrap(), &world.truth(place(patch))).unwrap();
    }
    server.change("POST", "/api/learn");
    server.until(|state| state["work"]["kind"] == "learning");
    server.change("POST", "/api/cancel");
    server.until(|state| state["work"]["kind"] == "live" || state["work"]["kind"] == "idle");
    assert!(server.get("/api/state?since=0").json()["curve"].as_array().unwrap().is_empty());
    assert!(!dir.join("journal.jsonl").exists() && !dir.join("weights").exists());
}
