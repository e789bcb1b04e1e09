//! What the view shows, and what keys do to it. Pure.

use std::cmp::Ordering;
use std::io;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::overview::{DestinationOverview, Overview, SinkOverview, SourceOverview};

/// What is shown.
#[derive(Debug)]
pub(super) struct TopScreen {
    pub(super) url: String,
    /// The last answer.
    pub(super) overview: Option<Overview>,
    /// Why there is no newer one.
    pub(super) error: Option<String>,
    pub(super) pane: TopPane,
    pub(super) order: TopOrder,
    /// Only what has this in its name.
    pub(super) filter: String,
    pub(super) is_typing: bool,
    pub(super) is_paused: bool,
    pub(super) shows_help: bool,
    /// Which row is chosen, of sources and of destinations.
    pub(super) chosen: [usize; 2],
}

/// The table that keys act on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum TopPane {
    Sources,
    #[default]
    Destinations,
}

/// What stands first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum TopOrder {
    /// What is in trouble, then what is oldest.
    #[default]
    Trouble,
    /// What is fastest.
    Rate,
    /// What has the oldest data.
    Oldest,
    /// By name.
    Name,
}

/// What a key led to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum KeyOutcome {
    Stay,
    Quit,
}

/// A destination with its sink.
pub(super) type ShownDestination<'a> = (&'a SinkOverview, &'a DestinationOverview);

impl TopOrder {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Trouble => "trouble",
            Self::Rate => "rate",
            Self::Oldest => "oldest",
            Self::Name => "name",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Trouble => Self::Rate,
            Self::Rate => Self::Oldest,
            Self::Oldest => Self::Name,
            Self::Name => Self::Trouble,
        }
    }
}

impl TopScreen {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            overview: None,
            error: None,
            pane: TopPane::default(),
            order: TopOrder::default(),
            filter: String::new(),
            is_typing: false,
            is_paused: false,
            shows_help: false,
            chosen: [0; 2],
        }
    }

    /// An answer came, or none.
    pub(super) fn take(&mut self, fetched: io::Result<Overview>) {
        match fetched {
            Err(error) => self.error = Some(error.to_string()),
            Ok(_) if self.is_paused => {}
            Ok(overview) => (self.overview, self.error) = (Some(overview), None),
        }
    }

    /// A key was pressed.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most keys do nothing")]
    pub(super) fn key(&mut self, key: KeyEvent) -> KeyOutcome {
        if key.kind == KeyEventKind::Release {
            return KeyOutcome::Stay;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return KeyOutcome::Quit;
        }
        if self.is_typing {
            self.typed(key.code);
            return KeyOutcome::Stay;
        }
        match key.code {
            KeyCode::Esc if self.shows_help => self.shows_help = false,
            KeyCode::Esc if !self.filter.is_empty() => self.filter.clear(),
            KeyCode::Char('q') | KeyCode::Esc => return KeyOutcome::Quit,
            KeyCode::Char('?' | 'h') => self.shows_help = !self.shows_help,
            KeyCode::Char('s') => self.order = self.order.next(),
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Tab | KeyCode::BackTab => {
                self.pane = match self.pane {
                    TopPane::Sources => TopPane::Destinations,
                    TopPane::Destinations => TopPane::Sources,
                };
            }
            KeyCode::Down | KeyCode::Char('j') => self.choose(|at| at.saturating_add(1)),
            KeyCode::Up | KeyCode::Char('k') => self.choose(|at| at.saturating_sub(1)),
            KeyCode::PageDown => self.choose(|at| at.saturating_add(10)),
            KeyCode::PageUp => self.choose(|at| at.saturating_sub(10)),
            KeyCode::Home => self.choose(|_| 0),
            _ => {}
        }
        KeyOutcome::Stay
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "most keys do nothing")]
    fn typed(&mut self, code: KeyCode) {
        /// A longer filter matches nothing.
        const LONGEST: usize = 100;
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(letter) if self.filter.len() < LONGEST => self.filter.push(letter),
            _ => {}
        }
    }

    fn choose(&mut self, change: impl Fn(usize) -> usize) {
        let rows = match self.pane {
            TopPane::Sources => self.sources().len(),
            TopPane::Destinations => self.destinations().len(),
        };
        let [source, destination] = &mut self.chosen;
        let chosen = match self.pane {
            TopPane::Sources => source,
            TopPane::Destinations => destination,
        };
        *chosen = change(*chosen).min(rows.saturating_sub(1));
    }

    /// The sources that are shown, in their order.
    pub(super) fn sources(&self) -> Vec<&SourceOverview> {
        let all = self.overview.iter().flat_map(|overview| &overview.sources);
        let mut shown: Vec<_> = all.filter(|source| self.matches(&[&source.name])).collect();
        let trouble = |source: &SourceOverview| (source.issues.is_empty(), source.held_by.is_none());
        let oldest = |source: &SourceOverview| source.oldest_unacknowledged_seconds;
        let rate = |source: &SourceOverview| source.bytes_per_second.unwrap_or(0.0);
        shown.sort_by(|a, b| {
            let first = match self.order {
                TopOrder::Trouble => {
                    trouble(a).cmp(&trouble(b)).then_with(|| oldest(b).total_cmp(&oldest(a)))
                }
                TopOrder::Rate => rate(b).total_cmp(&rate(a)),
                TopOrder::Oldest => oldest(b).total_cmp(&oldest(a)),
                TopOrder::Name => Ordering::Equal,
            };
            first.then_with(|| a.name.cmp(&b.name))
        });
        shown
    }

    /// The destinations that are shown, in their order.
    pub(super) fn destinations(&self) -> Vec<ShownDestination<'_>> {
        let sinks = self.overview.iter().flat_map(|overview| &overview.sinks);
        let all = sinks.flat_map(|sink| sink.destinations.iter().map(move |destination| (sink, destination)));
        let matches = |(sink, destination): &ShownDestination<'_>| {
            let account = destination.account.as_deref().unwrap_or_default();
            self.matches(&[&sink.name, &destination.stream, account])
        };
        let mut shown: Vec<_> = all.filter(matches).collect();
        let rate = |found: &DestinationOverview| found.bytes_per_second.unwrap_or(0.0);
        let by_age =
            |a: &DestinationOverview, b: &DestinationOverview| b.oldest_seconds.total_cmp(&a.oldest_seconds);
        shown.sort_by(|(a_sink, a), (b_sink, b)| {
            let first = match self.order {
                TopOrder::Trouble => a.state.cmp(&b.state).then_with(|| by_age(a, b)),
                TopOrder::Rate => rate(b).total_cmp(&rate(a)),
                TopOrder::Oldest => by_age(a, b),
                TopOrder::Name => Ordering::Equal,
            };
            first.then_with(|| a_sink.name.cmp(&b_sink.name)).then_with(|| a.stream.cmp(&b.stream))
        });
        shown
    }

    fn matches(&self, names: &[&str]) -> bool {
        let wanted = self.filter.to_lowercase();
        wanted.is_empty() || names.iter().any(|name| name.to_lowercase().contains(&wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overview::DestinationState;

    fn screen() -> TopScreen {
        let destination = |stream: &str, state, rate: f64, oldest: f64| DestinationOverview {
            stream: stream.to_owned(),
            state,
            bytes_per_second: Some(rate),
            oldest_seconds: oldest,
            ..DestinationOverview::default()
        };
        let destinations = vec![
            destination("a", DestinationState::Working, 5.0, 3.0),
            destination("b", DestinationState::Held, 0.0, 1.0),
            destination("c", DestinationState::Working, 9.0, 2.0),
        ];
        let sink = SinkOverview { name: "out".to_owned(), destinations, ..SinkOverview::default() };
        let mut screen = TopScreen::new("url");
        screen.take(Ok(Overview { sinks: vec![sink], ..Overview::default() }));
        screen
    }

    fn press(screen: &mut TopScreen, keys: &str) -> KeyOutcome {
        let mut outcome = KeyOutcome::Stay;
        for letter in keys.chars() {
            let code = match letter {
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                letter => KeyCode::Char(letter),
            };
            outcome = screen.key(KeyEvent::new(code, KeyModifiers::NONE));
        }
        outcome
    }

    fn streams(screen: &TopScreen) -> String {
        screen.destinations().iter().map(|(_, destination)| destination.stream.as_str()).collect()
    }

    #[test]
    fn keys_sort_filter_choose_and_quit() {
        let mut screen = screen();
        for (keys, expected) in [("", "bac"), ("s", "cab"), ("s", "acb"), ("s", "abc"), ("s", "bac")] {
            assert_eq!(press(&mut screen, keys), KeyOutcome::Stay);
            assert_eq!(streams(&screen), expected, "by {}", screen.order.name());
        }
        press(&mut screen, "jjjjj");
        assert_eq!(screen.chosen, [0, 2]);
        // What is typed into the filter is no command.
        assert_eq!(press(&mut screen, "/q"), KeyOutcome::Stay);
        assert_eq!(streams(&screen), "");
        press(&mut screen, "\u{1b}/C\n");
        assert_eq!(streams(&screen), "c");
        assert_eq!(press(&mut screen, "\u{1b}"), KeyOutcome::Stay, "it ends the filter");
        assert_eq!(streams(&screen), "bac");
        assert_eq!(press(&mut screen, "?\u{1b}"), KeyOutcome::Stay, "it ends the help");
        assert_eq!(press(&mut screen, "q"), KeyOutcome::Quit);
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(screen.key(control_c), KeyOutcome::Quit);
    }

    #[test]
    fn a_pause_keeps_what_is_seen_and_a_daemon_that_is_gone_is_told() {
        let mut screen = screen();
        press(&mut screen, "p");
        screen.take(Ok(Overview::default()));
        assert_eq!(streams(&screen), "bac");
        screen.take(Err(io::Error::other("connection refused")));
        assert_eq!(screen.error.as_deref(), Some("connection refused"));
        press(&mut screen, "p");
        screen.take(Ok(Overview::default()));
        assert_eq!((streams(&screen).as_str(), &screen.error), ("", &None));
    }
}
