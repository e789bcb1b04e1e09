//! A real Prometheus scrapes a real standpipe, and answers every query of the dashboard and the rules.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::queries::{Query, alerts, dashboard_queries, recorded, rule_queries};
use super::{folder, missing, with_everything};
use crate::world::{progress, until};

/// A server of its own on a free port; it is killed when it is dropped.
struct Prometheus {
    child: Child,
    address: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Prometheus {
    /// None where there is no such program.
    fn start(home: &Path, target: &str) -> Option<Self> {
        let rules =
            ["recording.yml", "alerts.yml"].map(|file| format!("\"{}\"", folder().join(file).display()));
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\nrule_files: [{}]\n\
             scrape_configs: [{{ job_name: standpipe, static_configs: [{{ targets: [\"{target}\"] }}] }}]\n",
            rules.join(", ")
        );
        fs::write(home.join("prometheus.yml"), config).unwrap();
        loop {
            // It cannot be asked for any free port. If another process takes the one that was free, there is the next.
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mut command = Command::new("prometheus");
            command
                .arg(format!("--config.file={}", home.join("prometheus.yml").display()))
                .arg(format!("--storage.tsdb.path={}", home.join("tsdb").display()))
                .arg(format!("--web.listen-address={port}"));
            let child =
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
            let mut server = Self { child, address: port.to_string() };
            let is_up = until("Prometheus is up, or has ended", || {
                let has_ended = server.child.try_wait().unwrap().is_some();
                let is_ready = server.get("/-/ready").is_some_and(|text| text.contains("Ready"));
                (has_ended || is_ready).then_some(!has_ended)
            });
            if is_up {
                return Some(server);
            }
        }
    }

    /// By the old protocol, in which an answer ends with its connection.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text.split_once("\r\n\r\n")?.1.to_owned())
    }

    fn json(&self, path: &str) -> Value {
        let text = until("Prometheus answers", || self.get(path));
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["status"], "success", "{path}: {answer:#}");
        answer["data"].clone()
    }

    /// The series that a query gives.
    fn series(&self, query: &str) -> Vec<Value> {
        let path = format!("/api/v1/query?query={}", utf8_percent_encode(query, NON_ALPHANUMERIC));
        self.json(&path)["result"].as_array().unwrap().clone()
    }
}

#[test]
fn a_real_prometheus_answers_every_query() {
    let (world, daemon) = with_everything();
    let Some(prometheus) = Prometheus::start(&world.path(""), daemon.admin()) else {
        missing("prometheus");
        return daemon.kill();
    };
    let mut open: Vec<String> = dashboard_queries().iter().map(Query::filled).chain(recorded()).collect();
    // What an alert compares is there, whether the alert is raised or not.
    open.extend(rule_queries().iter().flat_map(Query::selectors).map(|selector| selector.text()));
    // One that is to be raised.
    open.push("ALERTS{alertname=\"StandpipeHeld\",sink=\"nowhere\",reason=\"not_found\"}".into());
    let all = open.len();
    progress("every query has an answer", || {
        daemon.must_run();
        open.retain(|query| prometheus.series(query).is_empty());
        if open.is_empty() { Ok(()) } else { Err(((all - open.len()) as u64, format!("{open:#?}"))) }
    });
    let groups = until("every rule was evaluated", || {
        let groups = prometheus.json("/api/v1/rules")["groups"].as_array().unwrap().clone();
        let mut rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        rules.all(|rule| rule["health"] != "unknown").then_some(groups)
    });
    let rules: Vec<&Value> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert_eq!(rules.len(), recorded().len() + alerts().len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule:#}");
    }
    daemon.kill();
}
