//! The terminal: taken for the view, and given back as it was, however the view ends.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::panic;
use std::sync::Once;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

/// A terminal that was taken; it is given back when this is dropped, and before a panic is told.
pub(super) struct OpenTerminal(());

static HOOKED: Once = Once::new();

impl OpenTerminal {
    /// Takes the terminal.
    pub(super) fn open() -> io::Result<Self> {
        // The release build aborts at a panic: nothing is dropped then.
        HOOKED.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                give_back();
                before(info);
            }));
        });
        enable_raw_mode()?;
        let opened = Self(());
        execute!(tty()?, EnterAlternateScreen)?;
        Ok(opened)
    }

    /// What is drawn on, by way of `out`.
    pub(super) fn backend<W: Write>(&self, out: W) -> CrosstermBackend<W> {
        let Self(()) = self;
        CrosstermBackend::new(out)
    }
}

impl Drop for OpenTerminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// Past standard output, which another thread may have locked.
fn tty() -> io::Result<impl Write> {
    OpenOptions::new().write(true).open("/dev/tty")
}

fn give_back() {
    if let Ok(mut tty) = tty() {
        execute!(tty, LeaveAlternateScreen, Show).ok();
    }
    disable_raw_mode().ok();
}
