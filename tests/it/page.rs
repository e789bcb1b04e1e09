//! The status page in a browser: at two widths, in light and in dark, with a destination that is held and a backlog.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::read::ZlibDecoder;

use crate::standin::{Refusal, Settings};
use crate::world::{Envelope, MESSAGE_SINK, Sender, World, until};

/// What Chromium is called.
const NAMES: [&str; 2] = ["chromium", "chromium-browser"];

/// A picture: width, height, and three bytes a pixel.
struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Picture {
    fn at(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width + x) * 3;
        [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]]
    }

    /// How many pixels of these columns are of another colour than the page's ground.
    fn drawn(&self, columns: std::ops::Range<usize>) -> usize {
        let ground = self.at(1, 1);
        columns.map(|x| (0..self.height).filter(|y| self.at(x, *y) != ground).count()).sum()
    }
}

#[expect(clippy::print_stderr, reason = "a test left out is said aloud")]
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|dir| NAMES.map(|name| dir.join(name)))
        .find(|file| file.exists());
    if found.is_none() {
        eprintln!("left out: chromium is missing; Debian's package `chromium` has it");
    }
    found
}

fn shot(chromium: &Path, world: &World, url: &str, name: &str, width: usize, is_dark: bool) -> Picture {
    let file = world.path(name);
    // Dark is 0, light is 1.
    let scheme = u8::from(!is_dark);
    let status = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"])
        .arg(format!("--user-data-dir={}", world.path("browser").display()))
        .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
        .arg(format!("--window-size={width},1600"))
        .arg(format!("--screenshot={}", file.display()))
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    if let Some(keep) = std::env::var_os("STANDPIPE_SCREENSHOTS") {
        std::fs::copy(&file, Path::new(&keep).join(name)).unwrap();
    }
    decode(&std::fs::read(&file).unwrap())
}

/// Eight bits a channel, not interlaced: what Chromium writes.
fn decode(png: &[u8]) -> Picture {
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) as usize;
    let (width, height) = (number(16), number(20));
    // Red, green and blue, or these and how opaque they are.
    assert!([2, 6].contains(&png[25]), "a picture of kind {}", png[25]);
    let channels = if png[25] == 2 { 3 } else { 4 };
    let (mut at, mut data) = (8, Vec::new());
    while at + 8 <= png.len() {
        let len = number(at);
        if &png[at + 4..at + 8] == b"IDAT" {
            data.extend_from_slice(&png[at + 8..at + 8 + len]);
        }
        at += len + 12;
    }
    let mut raw = Vec::new();
    ZlibDecoder::new(data.as_slice()).read_to_end(&mut raw).unwrap();
    let stride = width * channels;
    let (mut before, mut pixels) = (vec![0_u8; stride], Vec::new());
    for row in raw.chunks(stride + 1) {
        let mut line = row[1..].to_vec();
        for x in 0..stride {
            let left = if x >= channels { line[x - channels] } else { 0 };
            let corner = if x >= channels { before[x - channels] } else { 0 };
            let add = match row[0] {
                0 => 0,
                1 => left,
                2 => before[x],
                3 => u8::midpoint(left, before[x]),
                _ => paeth(left, before[x], corner),
            };
            line[x] = line[x].wrapping_add(add);
        }
        pixels.extend(line.chunks(channels).flat_map(|pixel| pixel[..3].to_vec()));
        before = line;
    }
    Picture { width, height, pixels }
}

fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let [a, b, c] = [left, up, corner].map(i16::from);
    let guess = a + b - c;
    let [by_left, by_up, by_corner] = [a, b, c].map(|value| (guess - value).abs());
    if by_left <= by_up && by_left <= by_corner {
        left
    } else if by_up <= by_corner {
        up
    } else {
        corner
    }
}

const CONFIG: &str = "
[sources.app]
type = \"file\"
include = [\"@DIR/logs/*.log\"]

[sources.subscriptions]
type = \"firehose_http\"
listen = \"127.0.0.1:0\"
access_keys = [\"an-access-key-for-tests\"]

[sinks.owners]
@FIREHOSE
stream = \"logs-{owner}\"
encoding = \"message\"
linger = \"100ms\"

[[routes]]
from = [\"app\"]
when = { message = \"DEBUG\" }
drop = true

[[routes]]
from = [\"app\"]
to = [\"archive\"]

[[routes]]
from = [\"subscriptions\"]
to = [\"owners\"]
";

/// A destination is held with its data, another works, and files that lead to the held one wait.
fn troubled(world: &World) -> crate::world::Daemon {
    world.standin.stream_faults("logs", |faults| faults.refusal = Some(Refusal::AccessDenied));
    let daemon = world.config(&format!("{MESSAGE_SINK}{CONFIG}")).spawn();
    let mut sender = Sender::to(&daemon.endpoint());
    for (run, owner) in (0_u32..).zip(["111111111111", "222222222222"]) {
        world.standin.expect(run, 500);
        sender.deliver(owner, &[Envelope::of_lines(run, 0..500).owned_by(owner).gzipped()]);
    }
    // More than the destination may hold, so that some of it stays unread.
    let line = format!("{}\n", "x".repeat(999));
    std::fs::write(world.log("app.log"), line.repeat(60_000)).unwrap();
    until("a destination is held, and a source is behind", || {
        let status = crate::status::status(&daemon);
        let sinks = status["sinks"].as_array()?.clone();
        let is_held = sinks.iter().any(|sink| sink["destinations"][0]["state"] == "held");
        let is_open = sinks.iter().all(|sink| sink["destinations"][0]["stream"].is_string());
        let is_behind = status["sources"][0]["behind_bytes"].as_u64()? > 0;
        let has_rates = status["sources"][0]["bytes_per_second"].is_number();
        let page = daemon.get("/").unwrap().text();
        (is_held
            && page.contains("held by archive (logs): access_denied")
            && is_open
            && is_behind
            && has_rates)
            .then_some(())
    });
    daemon
}

#[test]
fn the_page_fits_two_widths_in_light_and_in_dark() {
    let Some(chromium) = chromium() else { return };
    let world = World::with(&Settings { any_stream: true, ..Settings::default() });
    let daemon = troubled(&world);
    let url = format!("http://{}/", daemon.admin());
    for (width, is_dark) in [(1_400, false), (1_400, true), (400, false), (400, true)] {
        let name = format!("page-{width}-{}.png", if is_dark { "dark" } else { "light" });
        let picture = shot(&chromium, &world, &url, &name, width, is_dark);
        assert_eq!(picture.width, width, "{name}");
        let light = picture.at(1, 1).map(u32::from).iter().sum::<u32>() > 3 * 128;
        assert_eq!(light, !is_dark, "the ground of {name} is {:?}", picture.at(1, 1));
        assert!(picture.drawn(0..width) > 10_000, "{name} shows something");
        // Whatever is too wide would reach into the margin, or beyond it.
        assert_eq!(picture.drawn(width - 8..width), 0, "{name} is wider than the window");
    }
    world.standin.stream_faults("logs", |faults| faults.refusal = None);
    daemon.kill();
}
