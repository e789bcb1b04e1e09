//! `standpipe top`: the running daemon in a terminal, again and again.

mod rows;
mod screen;
mod terminal;
mod view;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use ratatui::backend::Backend;
use ratatui::crossterm::event::{self, Event};
use ratatui::{Terminal, TerminalOptions, Viewport};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use self::screen::{KeyOutcome, TopScreen};
use self::terminal::OpenTerminal;
use self::view::TopStyles;
use super::run::signals;
use super::{admin_client, exit};
use crate::daemon::Signal;
use crate::overview::Overview;

/// The daemon is asked so often.
const EVERY: Duration = Duration::from_secs(1);

/// A key is waited for so long before it is seen whether anybody still wants one.
const KEY_WAIT: Duration = Duration::from_millis(250);

/// Keys that wait to be acted on.
const KEYS: usize = 64;

/// Shows the daemon at `url` until a key or a signal ends it; returns the exit code.
///
/// # Errors
/// When the terminal cannot be written.
pub fn run(
    url: &str,
    environment: &BTreeMap<String, String>,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    let is_dumb = environment.get("TERM").is_some_and(|term| term == "dumb");
    if is_dumb || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        writeln!(err, "standpipe: `top` needs a terminal; `standpipe status` shows the same once")?;
        return Ok(exit::USAGE);
    }
    let has_colour = environment.get("NO_COLOR").is_none_or(String::is_empty);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let opened = OpenTerminal::open()?;
    let ended = runtime.block_on(show(url, TopStyles::new(has_colour), opened.backend(out)));
    // A read of the terminal, and a daemon that does not answer, must not keep the process.
    runtime.shutdown_background();
    drop(opened);
    ended.map(|()| exit::DONE)
}

async fn show(url: &str, styles: TopStyles, backend: impl Backend<Error = io::Error>) -> io::Result<()> {
    let mut terminal = Terminal::with_options(backend, TerminalOptions { viewport: Viewport::Fullscreen })?;
    let mut signals = signals(Signal::Stop)?;
    let mut keys_rx = keys();
    let mut screen = TopScreen::new(url);
    let mut fetching = fetch(url);
    let mut next = Instant::now() + EVERY;
    let mut is_fetching = true;
    loop {
        terminal.draw(|frame| view::draw(frame, &mut screen, &styles))?;
        tokio::select! {
            _ = signals.recv() => return Ok(()),
            fetched = &mut fetching, if is_fetching => {
                is_fetching = false;
                screen.take(fetched.unwrap_or_else(|ended| Err(io::Error::other(ended))));
            }
            () = sleep_until(next), if !is_fetching => {
                next = Instant::now() + EVERY;
                (fetching, is_fetching) = (fetch(url), true);
            }
            key = keys_rx.recv() => match key {
                // A resize is drawn, as everything is.
                Some(Event::Key(key)) if screen.key(key) == KeyOutcome::Quit => return Ok(()),
                Some(_) => {}
                // The terminal is gone.
                None => return Ok(()),
            },
        }
    }
}

fn fetch(url: &str) -> tokio::task::JoinHandle<io::Result<Overview>> {
    let url = url.to_owned();
    tokio::task::spawn_blocking(move || admin_client::overview(&url).map(|(_, overview)| overview))
}

/// Keys as they are pressed, read by a thread that ends when nobody wants them.
fn keys() -> mpsc::Receiver<Event> {
    let (keys_tx, keys_rx) = mpsc::channel(KEYS);
    tokio::task::spawn_blocking(move || {
        while !keys_tx.is_closed() {
            match event::poll(KEY_WAIT) {
                Ok(false) => {}
                Ok(true) => match event::read() {
                    Ok(read) => {
                        if keys_tx.blocking_send(read).is_err() {
                            return;
                        }
                    }
                    Err(_) => return,
                },
                Err(_) => return,
            }
        }
    });
    keys_rx
}
