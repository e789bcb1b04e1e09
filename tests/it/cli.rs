//! Commands: what they print, and how they end.

use std::process::Output;

use crate::world::{Envelope, FILE_SOURCE, MESSAGE_SINK, RUN, World, exactly_once};

#[track_caller]
fn check(output: &Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "stdout:\n{stdout}\nstderr:\n{stderr}");
    (stdout, stderr)
}

fn run(world: &World, arguments: &[&str]) -> Output {
    world.run(arguments, b"")
}

#[test]
fn check_draws_the_pipeline_and_names_mistakes() {
    let world = World::new();
    world.file_to_firehose("");
    let config = world.config_path();
    let config = config.to_str().unwrap();
    let (tree, _) = check(&run(&world, &["check", "-c", config]), 0);
    for part in ["app", "archive", "logs"] {
        assert!(tree.contains(part), "the tree names `{part}`:\n{tree}");
    }

    world.config(&format!("{FILE_SOURCE}encodng = \"json\"\n{MESSAGE_SINK}lingr = \"1s\"\n"));
    let (_, words) = check(&run(&world, &["check", "-c", config]), 78);
    for part in ["standpipe.toml", "encodng", "lingr", "linger"] {
        assert!(words.contains(part), "every mistake is named at once, `{part}` too:\n{words}");
    }
    check(&run(&world, &["run", "-c", config]), 78);
    check(&run(&world, &["check", "-c", "/nowhere/standpipe.toml"]), 78);
}

#[test]
fn check_takes_files_with_and_without_an_option() {
    let world = World::new();
    world.file_to_firehose("");
    let config = world.config_path();
    let config = config.to_str().unwrap();
    for arguments in [
        ["check", config].as_slice(),
        &["check", config, config],
        &["validate", config],
        &["check", "--deny-warnings", config],
        &["run", "--once", config],
    ] {
        check(&run(&world, arguments), 0);
    }
    check(&run(&world, &["check", "-c", config, config]), 2);
    let (json, _) = check(&run(&world, &["check", "--json", config]), 0);
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(found, serde_json::json!({ "valid": true, "errors": [], "warnings": [] }));
}

#[test]
fn a_wrong_log_level_is_refused_and_a_fatal_error_is_said_at_every_level() {
    let world = World::new();
    world.file_to_firehose("");
    let config = world.config_path();
    let config = config.to_str().unwrap();
    for command in ["check", "run"] {
        world.env("STANDPIPE_LOG", "dbug");
        let (_, words) = check(&run(&world, &[command, "-c", config]), 78);
        let expected = "STANDPIPE_LOG: found `dbug`, expected error, warn, info, debug, trace or off";
        assert!(words.contains(expected), "{words}");
    }
    // A file where the state directory has to be.
    world.config(&format!("{FILE_SOURCE}{MESSAGE_SINK}[state]\ndir = \"{config}/state\"\n"));
    for level in ["off", "warning", "aws_config=error"] {
        world.env("STANDPIPE_LOG", level);
        let (_, words) = check(&run(&world, &["run", "-c", config]), 1);
        assert!(words.contains(config), "at `{level}`: {words}");
    }
}

#[test]
fn what_run_refuses_check_refuses() {
    let world = World::new();
    let sink = |number: u32| format!("[sinks.s{number}]\ntype = \"directory\"\npath = \"out\"\n");
    let many = (0..65).map(sink).collect::<String>();
    let slash = "[sources.b]\ntype = \"file\"\ninclude = [\"/var/log/[a/b].log\"]\n".to_owned();
    for (what, wrong) in [("at most 64", many), ("[a/b]", slash)] {
        world.config(&format!("{FILE_SOURCE}{MESSAGE_SINK}{wrong}"));
        let config = world.config_path();
        for command in ["check", "run"] {
            let (_, words) = check(&run(&world, &[command, "-c", config.to_str().unwrap()]), 78);
            assert!(words.contains(what), "{words}");
        }
    }
}

#[test]
fn wrong_usage_is_told_apart() {
    let world = World::new();
    check(&run(&world, &["sink-the-ship"]), 2);
    check(&run(&world, &["check", "--no-such-option"]), 2);
    let (_, words) = check(&run(&world, &["-c", "agent.toml", "run"]), 2);
    assert!(words.contains("after the command: `standpipe run -c FILE`"), "{words}");
    let (version, _) = check(&run(&world, &["--version"]), 0);
    let target = std::env::consts::ARCH;
    assert!(version.starts_with("standpipe ") && version.contains(target), "revision and target: {version}");
    for command in [
        "run",
        "check",
        "decode",
        "doctor",
        "state",
        "replay",
        "health",
        "access",
        "completions",
        "man",
        "schema",
        "test",
    ] {
        let (help, _) = check(&run(&world, &[command, "--help"]), 0);
        assert!(help.to_lowercase().contains("example"), "`{command} --help` has an example:\n{help}");
    }
    let (help, _) = check(&run(&world, &["access", "render", "--help"]), 0);
    assert!(help.contains("Examples:") && help.contains("terraform"), "{help}");
}

#[test]
fn decode_reads_payloads_in_every_wrapping() {
    let world = World::new();
    let gzipped = Envelope::of_lines(RUN, 0..7).gzipped();
    let base64 = base64_simd::STANDARD.encode_to_string(&gzipped).into_bytes();
    let two = [gzipped.clone(), gzipped.clone()].concat();
    let trail = br#"{"Records":[{"eventID":"1","eventName":"PutObject"},{"eventID":"2"}]}"#;
    for (payload, events) in [(gzipped.as_slice(), 7), (&base64, 7), (&two, 14), (trail, 2)] {
        let (json, _) = check(&world.run(&["decode", "-"], payload), 0);
        let lines: Vec<serde_json::Value> =
            json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), events, "{json}");
    }
    std::fs::write(world.path("payload.gz"), &gzipped).unwrap();
    let (json, _) = check(&run(&world, &["decode", world.path("payload.gz").to_str().unwrap()]), 0);
    assert!(json.contains("/aws/lambda/orders"), "{json}");
    check(&world.run(&["decode", "-"], b"\x1f\x8b no gzip"), 1);
    check(&run(&world, &["decode", "/nowhere"]), 1);
}

#[test]
fn health_asks_the_running_daemon() {
    let world = World::new();
    let daemon = world.file_to_firehose("").start();
    let url = format!("http://{}", daemon.admin());
    check(&run(&world, &["health", "--url", &url]), 0);
    check(&run(&world, &["health", "--url", daemon.admin()]), 0);
    daemon.stop().drained();
    check(&run(&world, &["health", "--url", &url]), 1);
}

#[test]
fn once_reads_what_is_there_says_what_it_did_and_ends() {
    let world = World::new();
    world.write("app.log", 0..5_000);
    world.file_to_firehose("");
    let config = world.config_path();
    let once = || check(&run(&world, &["run", "--once", "-c", config.to_str().unwrap()]), 0).1;
    let words = once();
    exactly_once(&world.standin.report(), 5_000);
    let done = "stopped: everything that was read was delivered\",\"read\":5000,\"delivered\":5000,\"dead_letters\":0";
    assert!(words.contains(done), "{words}");

    let words = once();
    assert!(words.contains("nothing new was found") && words.contains("/state"), "{words}");

    world.write("app.log", 5_000..6_000);
    once();
    exactly_once(&world.standin.report(), 6_000);
}

#[test]
fn once_runs_beside_a_daemon_that_has_its_address() {
    let world = World::new();
    world.write("app.log", 0..1_000);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    world.config(&format!("[server]\nlisten = \"{address}\"\n{FILE_SOURCE}{MESSAGE_SINK}"));
    let config = world.config_path();
    let (_, words) = check(&run(&world, &["run", "--once", "-c", config.to_str().unwrap()]), 0);
    assert!(words.contains(&address.to_string()), "it says so: {words}");
    exactly_once(&world.standin.report(), 1_000);
    check(&run(&world, &["run", "-c", config.to_str().unwrap()]), 1);
}

#[test]
fn standard_input_is_a_source() {
    let world = World::new();
    world.config(&format!("[sources.input]\ntype = \"stdin\"\n{MESSAGE_SINK}"));
    world.standin.expect(RUN, 3_000);
    let text = crate::standin::Lines::of_run(RUN).text(0..3_000);
    let config = world.config_path();
    check(&world.run(&["run", "--once", "-c", config.to_str().unwrap()], &text), 0);
    exactly_once(&world.standin.report(), 3_000);
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused() {
    let world = World::new();
    let daemon = world.file_to_firehose("").start();
    let (_, words) = check(&run(&world, &["run", "-c", world.config_path().to_str().unwrap()]), 1);
    assert!(words.contains("state"), "it names the folder: {words}");
    daemon.stop().drained();
}
