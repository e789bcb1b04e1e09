//! Fields of a source, and what the host tells of itself: in json, in routes and in names.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::world::{FILE_SOURCE, World, until};

/// A service of the host: it answers each request by its method and path, with a status and a body, or keeps silent.
struct HostService {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
    is_silent: Arc<AtomicBool>,
}

impl HostService {
    fn start(answer: fn(&str) -> (u16, &'static str)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (heads, is_silent) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let (seen, silent) = (Arc::clone(&heads), Arc::clone(&is_silent));
        thread::spawn(move || {
            let mut unanswered = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                let mut head = String::new();
                let mut reader = BufReader::new(&stream);
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
                let first = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
                seen.lock().unwrap().push(head);
                if silent.load(Ordering::SeqCst) {
                    unanswered.push(stream);
                    continue;
                }
                let (status, body) = answer(&first);
                // In pieces, as a server does that does not know the length.
                let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
                let body = if body.is_empty() { "0\r\n\r\n".to_owned() } else { chunked };
                let head = format!("HTTP/1.1 {status} X\r\ntransfer-encoding: chunked\r\n\r\n");
                (&stream).write_all((head + &body).as_bytes()).ok();
            }
        });
        Self { url, heads, is_silent }
    }
}

const DOCUMENT: &str = r#"{"accountId":"111122223333","availabilityZone":"us-east-1a","instanceId":"i-0123","instanceType":"m7g.large","region":"us-east-1","privateIp":"10.0.0.7","imageId":"ami-1","pendingTime":"2026-11-22T01:02:03Z"}"#;

fn instance(request: &str) -> (u16, &'static str) {
    match request {
        "PUT /latest/api/token" => (200, "a-token"),
        "GET /latest/dynamic/instance-identity/document" => (200, DOCUMENT),
        "GET /latest/meta-data/tags/instance/team" => (200, "orders"),
        _ => (404, ""),
    }
}

/// A sink that writes json into a folder of the world.
const JSON_SINK: &str = "[sinks.out]\ntype = \"directory\"\npath = \"@DIR/out\"\nlinger = \"5ms\"\n";

/// Every event that is in the folder, and the name of the object that has it.
fn events(world: &World) -> Vec<(String, Value)> {
    let (mut events, mut folders) = (Vec::<(String, Value)>::new(), vec![world.path("out")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let name = entry.file_name().into_string().unwrap();
            // One that is being written may have gone, or have another name by now.
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            let whole = text.lines().filter_map(|line| serde_json::from_str(line).ok());
            events.extend(whole.map(|event| (name.clone(), event)));
        }
    }
    events.sort_by_key(|(_, event)| event["message"].to_string());
    events
}

/// What one run to the end says, which delivers everything.
fn once(world: &World) -> String {
    let output = world.run(&["run", "--once", "-c", world.config_path().to_str().unwrap()], b"");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{words}");
    words
}

#[test]
fn fields_are_in_json_and_decide_routes_and_names() {
    let world = World::new();
    let source =
        format!("{FILE_SOURCE}fields = {{ team = \"orders\", from = \"{{source}} of \\\"{{host}}\\\"\" }}\n");
    let other = "[sources.other]\ntype = \"file\"\ninclude = [\"@DIR/other.log\"]\n";
    let sink = format!("{JSON_SINK}stream = \"of-{{fields.team}}\"\nfields = {{ env = \"prod\" }}\n");
    let plain = "[sinks.plain]\ntype = \"directory\"\npath = \"@DIR/plain\"\n";
    let routes = "[[routes]]\nwhen = { fields = { team = [\"ord*\"] } }\nto = [\"out\"]\n[[routes]]\nfrom = [\"other\"]\nto = [\"plain\"]\n";
    world.config(&format!("{source}{other}{sink}{plain}{routes}"));
    fs::write(world.log("app.log"), "a\nb\n").unwrap();
    fs::write(world.path("other.log"), "c\n").unwrap();
    once(&world);
    let found = events(&world);
    assert_eq!(found.len(), 2, "{found:?}");
    for (name, event) in found {
        assert!(name.starts_with("of-orders-1-"), "{name}");
        let host = event["host"].as_str().unwrap();
        let expected = (json!("orders"), json!(format!("app of \"{host}\"")), json!("prod"));
        assert_eq!((event["team"].clone(), event["from"].clone(), event["env"].clone()), expected, "{event}");
    }
}

#[test]
fn an_instance_tells_of_itself_by_a_token_and_past_any_proxy() {
    let world = World::new();
    let (service, proxy) = (HostService::start(instance), HostService::start(|_| (502, "")));
    world.env("AWS_EC2_METADATA_DISABLED", "false");
    world.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &service.url);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        world.env(name, &proxy.url);
    }
    let fields = "fields = { zone = \"{ec2.zone}\", team = \"{ec2.tags.team}\", box = \"{ec2.instance_type}/{ec2.instance_id}\", none = \"{ec2.tags.none}\" }\nmetadata = [\"ec2\"]\n";
    let routes =
        "[[routes]]\nwhen = { ec2.account = [\"1111*\"], ec2.tags.team = [\"orders\"] }\nto = [\"out\"]\n";
    world.config(&format!("{FILE_SOURCE}{fields}{JSON_SINK}stream = \"logs-{{ec2.region}}\"\n{routes}"));
    fs::write(world.log("app.log"), "a\n").unwrap();
    let words = once(&world);
    let found = events(&world);
    let [(name, event)] = found.as_slice() else { panic!("{found:?}\n{words}") };
    assert!(name.starts_with("logs-us-east-1-1-"), "{name}");
    let told = [&event["zone"], &event["team"], &event["box"], &event["none"]];
    assert_eq!(told, [&json!("us-east-1a"), &json!("orders"), &json!("m7g.large/i-0123"), &Value::Null]);
    assert_eq!(words.matches("ec2.tags.none").count(), 1, "what is missing is said once: {words}");
    assert!(words.contains("--instance-metadata-tags enabled"), "{words}");
    let heads = service.heads.lock().unwrap();
    assert!(heads[0].starts_with("PUT ") && heads[0].contains("x-aws-ec2-metadata-token-ttl-seconds: "));
    let asked = heads.iter().filter(|head| head.starts_with("GET "));
    assert!(
        asked.clone().count() > 1 && asked.clone().all(|head| head.contains("token: a-token")),
        "{heads:?}"
    );
    assert!(proxy.heads.lock().unwrap().is_empty(), "no proxy is asked");
}

/// One run without the instance's word: everything is delivered, and the cause and its fix are said once.
fn fails(endpoint: &str, said: &[&str]) {
    let world = World::new();
    world.env("AWS_EC2_METADATA_DISABLED", "false");
    world.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint);
    let fields =
        "fields = { zone = \"{ec2.zone:-unknown}\", team = \"{ec2.tags.team}\" }\nmetadata = [\"ec2\"]\n";
    world.config(&format!("{FILE_SOURCE}{fields}{JSON_SINK}"));
    fs::write(world.log("app.log"), "a\nb\n").unwrap();
    let words = once(&world);
    let found = events(&world);
    assert_eq!(found.len(), 2, "{words}");
    for (_, event) in found {
        assert_eq!((&event["zone"], &event["team"]), (&json!("unknown"), &Value::Null), "{event}");
    }
    assert_eq!(words.matches("where standpipe runs is not known").count(), 1, "{words}");
    for part in said {
        assert!(words.contains(part), "`{part}`: {words}");
    }
}

#[test]
fn an_instance_that_is_not_there_refuses_or_is_silent_holds_nothing_up() {
    // Nobody listens on it any more.
    let absent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    fails(&format!("http://{absent}"), &["/latest/api/token` is not answered", "hop-limit 2"]);
    let unauthorized = HostService::start(|request| match request {
        "PUT /latest/api/token" => (200, "a-token"),
        _ => (401, ""),
    });
    fails(&unauthorized.url, &["document` is answered 401"]);
    let forbidden = HostService::start(|_| (403, ""));
    fails(&forbidden.url, &["token` is answered 403", "--http-endpoint enabled"]);
    let foreign = HostService::start(|_| (200, "<html>"));
    fails(&foreign.url, &["answers no identity document"]);
    let silent = HostService::start(instance);
    silent.is_silent.store(true, Ordering::SeqCst);
    fails(&silent.url, &["no answer within"]);
}

#[test]
fn an_instance_that_answers_late_is_known_from_then_on() {
    let world = World::new();
    let service = HostService::start(instance);
    service.is_silent.store(true, Ordering::SeqCst);
    world.env("AWS_EC2_METADATA_DISABLED", "false");
    world.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &service.url);
    let fields = "fields = { zone = \"{ec2.zone:-unknown}\" }\nmetadata = [\"ec2\"]\n";
    world.config(&format!("{FILE_SOURCE}{fields}{JSON_SINK}"));
    let mut log = fs::File::create(world.log("app.log")).unwrap();
    let daemon = world.start();
    log.write_all(b"first\n").unwrap();
    until("the first line is delivered", || (!events(&world).is_empty()).then_some(()));
    assert_eq!(events(&world)[0].1["zone"], "unknown");
    service.is_silent.store(false, Ordering::SeqCst);
    // The file is the same, and open all along.
    until("a line has the zone", || {
        daemon.must_run();
        log.write_all(b"later\n").unwrap();
        events(&world).iter().any(|(_, event)| event["zone"] == "us-east-1a").then_some(())
    });
    assert_eq!(daemon.log_text().matches("where standpipe runs is not known").count(), 1);
    daemon.stop().drained();
}

#[test]
fn a_task_tells_of_itself_and_of_its_container() {
    let world = World::new();
    let service = HostService::start(|request| match request {
        "GET /v4/abc" => (
            200,
            r#"{"DockerId":"abc","Name":"ecs-shop-web","Labels":{"com.amazonaws.ecs.container-name":"web"}}"#,
        ),
        "GET /v4/abc/task" => (
            200,
            r#"{"Cluster":"arn:aws:ecs:us-west-2:111122223333:cluster/default","TaskARN":"arn:aws:ecs:us-west-2:111122223333:task/default/158d","Family":"shop","Revision":"26","AvailabilityZone":"us-west-2d","LaunchType":"FARGATE"}"#,
        ),
        _ => (404, ""),
    });
    let fields = "fields = { task = \"{ecs.cluster}/{ecs.task_id}\", of = \"{ecs.family}:{ecs.revision} {ecs.container}\", zone = \"{ecs.zone}\" }\nmetadata = [\"ecs\"]\n";
    world.config(&format!("{FILE_SOURCE}{fields}{JSON_SINK}stream = \"{{ecs.region}}-{{ecs.account}}\"\n"));
    fs::write(world.log("app.log"), "a\n").unwrap();
    world.env("ECS_CONTAINER_METADATA_URI_V4", &format!("{}/v4/abc", service.url));
    let words = once(&world);
    let found = events(&world);
    let [(name, event)] = found.as_slice() else { panic!("{found:?}\n{words}") };
    assert!(name.starts_with("us-west-2-111122223333-1-"), "{name}");
    let told = [&event["task"], &event["of"], &event["zone"]];
    assert_eq!(told, [&json!("default/158d"), &json!("shop:26 web"), &json!("us-west-2d")]);
}

#[test]
fn a_file_of_the_kubelet_tells_its_pod_and_another_file_does_not() {
    let world = World::new();
    let pod = world.path("pods/shop_front-0_8d1c/web");
    fs::create_dir_all(&pod).unwrap();
    fs::write(pod.join("0.log"), "2026-11-22T01:02:03.004Z stdout F a\n").unwrap();
    fs::write(world.log("app.log"), "2026-11-22T01:02:03.004Z stdout F b\n").unwrap();
    let source = "[sources.app]\ntype = \"file\"\nformat = \"cri\"\ninclude = [\"@DIR/pods/*/*/*.log\", \"@DIR/logs/*.log\"]\n";
    let fields = "fields = { pod = \"{kubernetes.namespace}/{kubernetes.pod}/{kubernetes.container}\", node = \"{kubernetes.node}\" }\nmetadata = [\"kubernetes\"]\n";
    world.config(&format!("{source}{fields}{JSON_SINK}stream = \"logs-{{kubernetes.namespace:-none}}\"\n"));
    world.env("NODE_NAME", "n1");
    let words = once(&world);
    let found = events(&world);
    let [(of_pod, a), (of_none, b)] = found.as_slice() else { panic!("{found:?}\n{words}") };
    assert!(of_pod.starts_with("logs-shop-1-") && of_none.starts_with("logs-none-1-"), "{found:?}");
    assert_eq!((&a["pod"], &a["node"]), (&json!("shop/front-0/web"), &json!("n1")));
    assert_eq!((&b["pod"], &b["node"]), (&Value::Null, &json!("n1")));
    assert_eq!(words.matches("nobody tells this").count(), 1, "{words}");
}

/// What a name lacks is a dead letter, as with any other metadata.
#[test]
fn a_name_that_lacks_what_it_is_made_of_is_a_dead_letter() {
    let world = World::new();
    let fields = "fields = { zone = \"{ec2.zone}\" }\nmetadata = [\"ec2\"]\n";
    world.config(&format!("{FILE_SOURCE}{fields}{JSON_SINK}stream = \"logs-{{fields.zone}}\"\n"));
    fs::write(world.log("app.log"), "a\n").unwrap();
    let words = once(&world);
    assert!(words.contains("AWS_EC2_METADATA_DISABLED turns"), "{words}");
    assert!(events(&world).is_empty() && world.state_holds(b"\"reason\":\"missing_field\""), "{words}");
}
