//! What a source of the Forward protocol needs of this host.

use std::path::Path;

use rustix::fs::{Access, access};

use super::local::tls_files;
use crate::access::report::HopFinding;
use crate::config::{ForwardListen, ForwardSource};

/// Whether it can listen, and who may send.
pub(super) fn check(source: &ForwardSource) -> Vec<HopFinding> {
    let mut findings = match &source.listen {
        ForwardListen::Unix(path) => vec![folder(path)],
        ForwardListen::Tcp(_) => match &source.tls {
            Some(tls) => tls_files(tls),
            None if source.listen.is_local() => Vec::new(),
            None => vec![
                HopFinding::warning("listener_tls", format!("plain TCP on {}", source.listen))
                    .why("keys and logs arrive unencrypted")
                    .fix("set `tls`, or listen on 127.0.0.1 or a unix socket"),
            ],
        },
    };
    findings.push(match &source.shared_key {
        Some(_) => HopFinding::ok("senders", "admitted by the shared key"),
        None if source.listen.is_local() => HopFinding::ok("senders", "any process of this host may send"),
        None => HopFinding::warning("senders", format!("anyone who reaches {} may send", source.listen))
            .why("no `shared_key` is set")
            .fix("set `shared_key` here and at the senders"),
    });
    findings
}

/// Whether the socket's file can be made.
fn folder(path: &Path) -> HopFinding {
    const CHECK: &str = "socket";
    let Some(folder) = path.parent() else {
        return HopFinding::failure(CHECK, format!("`{}` has no folder", path.display()));
    };
    let shown = folder.display();
    if !folder.is_dir() {
        return HopFinding::failure(CHECK, format!("there is no folder `{shown}`"))
            .why("standpipe does not start without it")
            .fix(format!("make `{shown}`, under systemd by `RuntimeDirectory=`"));
    }
    match access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => HopFinding::ok(CHECK, format!("`{}` can be made", path.display())),
        Err(error) => HopFinding::failure(
            CHECK,
            format!("`{shown}` cannot be written: {}", std::io::Error::from(error)),
        )
        .why("standpipe does not start without it")
        .fix(format!("give `{shown}` to the user that standpipe runs as")),
    }
}
