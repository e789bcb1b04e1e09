//! The view as it is drawn: a line of facts, two tables, what is to be known of the chosen row, and the keys.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Row, Table, TableState, Wrap};

use super::rows::{TopColumn, of_destinations, of_sources};
use super::screen::{TopPane, TopScreen};
use crate::cli::state::printable;
use crate::overview::{Overview, SourceOverview, words};

/// How things stand out: by colour where that is wanted, and by weight and signs anyway.
#[derive(Clone, Copy, Debug)]
pub(super) struct TopStyles {
    bad: Style,
    warning: Style,
    dim: Style,
    heading: Style,
    chosen: Style,
}

const HELP: &str = "\
Tab      sources or destinations
Up Down  choose a row (also j, k)
s        sort: trouble, rate, oldest, name
/        show only names with this; Esc ends it
p Space  pause, go on
q        quit (also Esc, Ctrl-C)
?        this help

! needs attention, ~ late or busy. Rates
are those of the last 10 seconds.";

const KEYS: &str = "q quit  ? help  s sort  / filter  p pause  Tab table";

/// Those that a narrow terminal has room for.
const FEW_KEYS: &str = "q quit  ? help  Tab table";

impl TopStyles {
    pub(super) fn new(has_colour: bool) -> Self {
        let colour = |colour: Color| if has_colour { Style::new().fg(colour) } else { Style::new() };
        Self {
            bad: colour(Color::Red).add_modifier(Modifier::BOLD),
            warning: colour(Color::Yellow).add_modifier(Modifier::BOLD),
            dim: if has_colour { Style::new().fg(Color::DarkGray) } else { Style::new() },
            heading: Style::new().add_modifier(Modifier::BOLD),
            chosen: Style::new().add_modifier(Modifier::REVERSED),
        }
    }

    fn of_state(&self, state: &str) -> Style {
        match state.chars().next() {
            Some('!') => self.bad,
            Some('~') => self.warning,
            _ => Style::new(),
        }
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, screen: &mut TopScreen, styles: &TopStyles) {
    let sources = u16::try_from(screen.sources().len()).unwrap_or(u16::MAX).saturating_add(2);
    let area = frame.area();
    let most_sources = (area.height / 3).max(3);
    let [facts, upper, lower, details, keys] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(sources.min(most_sources)),
        Constraint::Min(3),
        Constraint::Length(if area.height >= 20 { 8 } else { 0 }),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(header(screen, styles)), facts);
    tables(frame, screen, styles, [upper, lower]);
    let border = Block::new().borders(Borders::TOP).border_style(styles.dim);
    frame.render_widget(
        Paragraph::new(detail(screen, styles)).wrap(Wrap { trim: false }).block(border),
        details,
    );
    let bottom = if screen.is_typing || !screen.filter.is_empty() {
        let cursor = if screen.is_typing { "_" } else { "" };
        format!("filter: {}{cursor}", printable(&screen.filter))
    } else {
        let has_room = KEYS.len() <= usize::from(area.width);
        if has_room { KEYS.to_owned() } else { FEW_KEYS.to_owned() }
    };
    frame.render_widget(Paragraph::new(bottom).style(styles.dim), keys);
    if screen.shows_help {
        help(frame, area);
    }
}

fn header<'a>(screen: &'a TopScreen, styles: &TopStyles) -> Vec<Line<'a>> {
    let order = format!("by {}", screen.order.name());
    let pause = if screen.is_paused { "  PAUSED" } else { "" };
    let Some(overview) = &screen.overview else {
        let words = match &screen.error {
            Some(error) => Span::styled(format!("! {}: {}", screen.url, printable(error)), styles.bad),
            None => Span::raw(format!("asking {}", screen.url)),
        };
        return vec![Line::from(words)];
    };
    let facts = format!(
        "standpipe {} on {}  up {}  memory {} of {}",
        printable(&overview.version),
        printable(&overview.host),
        overview.age(overview.started),
        size(overview.memory_bytes),
        size(overview.memory_limit_bytes)
    );
    let state = match (&screen.error, overview.issues.first()) {
        (Some(error), _) => Span::styled(format!("! no answer: {}", printable(error)), styles.bad),
        (None, Some(issue)) => Span::styled(format!("! {}", printable(issue)), styles.bad),
        (None, None) => Span::raw("ready"),
    };
    vec![
        Line::from(vec![
            Span::styled(facts, styles.heading),
            Span::raw(format!("  {order}")),
            Span::styled(pause, styles.warning),
        ]),
        Line::from(state),
    ]
}

fn tables(frame: &mut Frame<'_>, screen: &mut TopScreen, styles: &TopStyles, [upper, lower]: [Rect; 2]) {
    let [source, destination] = screen.chosen;
    let (sources, destinations) = (screen.sources(), screen.destinations());
    // Rows may have gone since they were chosen.
    let chosen =
        [source.min(sources.len().saturating_sub(1)), destination.min(destinations.len().saturating_sub(1))];
    let [source, destination] = chosen;
    let is_active = |pane| screen.pane == pane;
    table(frame, &of_sources(), &sources, (styles, upper), is_active(TopPane::Sources).then_some(source));
    table(
        frame,
        &of_destinations(),
        &destinations,
        (styles, lower),
        is_active(TopPane::Destinations).then_some(destination),
    );
    screen.chosen = chosen;
}

fn table<T>(
    frame: &mut Frame<'_>,
    columns: &[TopColumn<T>],
    rows: &[T],
    (styles, area): (&TopStyles, Rect),
    chosen: Option<usize>,
) {
    let shown: Vec<&TopColumn<T>> = columns.iter().filter(|column| column.from <= area.width).collect();
    let widths = shown.iter().enumerate().map(|(at, column)| match at {
        0 => Constraint::Min(column.width),
        _ => Constraint::Length(column.width),
    });
    let row = |found: &T| {
        let cells = shown.iter().map(|column| {
            let text = (column.cell)(found);
            let style = if column.title == "STATE" { styles.of_state(&text) } else { Style::new() };
            Line::styled(text, style)
        });
        Row::new(cells.collect::<Vec<_>>())
    };
    let titles = Row::new(shown.iter().map(|column| column.title).collect::<Vec<_>>()).style(styles.heading);
    let table = Table::new(rows.iter().map(row), widths.collect::<Vec<_>>())
        .header(titles)
        .column_spacing(1)
        .row_highlight_style(styles.chosen);
    let mut state = TableState::default().with_selected(chosen.filter(|_| !rows.is_empty()));
    frame.render_stateful_widget(table, area, &mut state);
}

/// What is to be known of the chosen row: what is wrong and what to do, or what it reads from.
fn detail(screen: &TopScreen, styles: &TopStyles) -> Vec<Line<'static>> {
    let [source, destination] = screen.chosen;
    match screen.pane {
        TopPane::Sources => {
            screen.sources().get(source).map(|source| of_source(source, styles)).unwrap_or_default()
        }
        TopPane::Destinations => {
            let shown = screen.destinations();
            let Some((_, found)) = shown.get(destination) else {
                return nothing_sent(screen.overview.as_ref());
            };
            // What to do comes first: there may be no room for all that is wrong.
            let mut lines = Vec::new();
            lines.extend(found.fix.as_ref().map(|fix| Line::raw(format!("fix: {}", printable(fix)))));
            lines.extend(
                found.issue.as_ref().map(|issue| Line::styled(format!("! {}", printable(issue)), styles.bad)),
            );
            lines.extend(found.rate_limit.map(|limit| {
                Line::raw(format!("limited to {}/s, since the service refuses what is beyond", size(limit)))
            }));
            let role = found
                .role
                .as_ref()
                .map(|role| format!("{} by {}", printable(&found.stream), printable(role)));
            lines.push(Line::raw(role.unwrap_or_else(|| printable(&found.stream))));
            lines
        }
    }
}

fn nothing_sent(overview: Option<&Overview>) -> Vec<Line<'static>> {
    let has_none =
        overview.is_some_and(|overview| overview.sinks.iter().all(|sink| sink.destinations.is_empty()));
    if has_none { vec![Line::raw("no destination is open: nothing was sent yet")] } else { Vec::new() }
}

fn of_source(source: &SourceOverview, styles: &TopStyles) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = Vec::new();
    lines.extend(
        source.issues.iter().map(|issue| Line::styled(format!("! {}", printable(issue)), styles.bad)),
    );
    // As of a destination, what to do comes first.
    let hold = source.held_by.iter();
    lines.extend(
        hold.clone()
            .filter_map(|hold| hold.fix.as_ref())
            .map(|fix| Line::raw(format!("fix: {}", printable(fix)))),
    );
    lines.extend(hold.map(|hold| Line::styled(format!("! {}", printable(&hold.words())), styles.bad)));
    let units = source.units.iter().flat_map(|units| &units.listed);
    lines.extend(units.take(5).map(|unit| {
        let behind = match (unit.behind_bytes, unit.behind_seconds) {
            (Some(bytes), _) => format!("{} unread", size(bytes)),
            (None, Some(behind)) => format!("{} behind", words::duration(behind)),
            (None, None) => String::new(),
        };
        Line::raw(format!("{}  {}  {behind}", printable(&unit.name), unit.state.word()))
    }));
    lines
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let (width, height) = (46_u16.min(area.width), 17_u16.min(area.height));
    let (left, top) = (area.width.saturating_sub(width) / 2, area.height.saturating_sub(height) / 2);
    let place = Rect { x: area.x.saturating_add(left), y: area.y.saturating_add(top), width, height };
    frame.render_widget(Clear, place);
    let words = Paragraph::new(HELP).wrap(Wrap { trim: false });
    frame.render_widget(words.block(Block::bordered().title(" keys ")), place);
}

fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let bytes = bytes as f64;
    words::size(bytes)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Cell;
    use ratatui::style::Color;

    use super::*;
    use crate::overview::{DestinationOverview, DestinationState, SinkOverview, SourceHold};

    fn screen() -> TopScreen {
        let held = DestinationOverview {
            stream: "logs-222222222222".to_owned(),
            account: Some("222222222222".to_owned()),
            state: DestinationState::Held,
            reason: Some("access_denied".to_owned()),
            issue: Some("firehose:PutRecordBatch is not allowed".to_owned()),
            fix: Some("allow it".to_owned()),
            oldest_seconds: 4_000.0,
            ..DestinationOverview::default()
        };
        let well = DestinationOverview {
            stream: "logs".to_owned(),
            bytes: 100,
            billed_bytes: 101,
            bytes_per_second: Some(2_500_000.0),
            billed_bytes_per_second: Some(2_525_000.0),
            ..DestinationOverview::default()
        };
        let mut screen = TopScreen::new("http://127.0.0.1:9598");
        screen.take(Ok(Overview {
            version: "0.1.0".to_owned(),
            host: "web\u{1b}1".to_owned(),
            issues: vec!["archive (logs-222222222222): held".to_owned()],
            sources: vec![SourceOverview {
                name: "app".to_owned(),
                kind: "file".to_owned(),
                bytes_per_second: Some(3_000.0),
                behind_bytes: Some(5_000_000),
                oldest_unacknowledged_seconds: 70.0,
                ..SourceOverview::default()
            }],
            sinks: vec![SinkOverview {
                name: "archive".to_owned(),
                destinations: vec![well, held],
                ..SinkOverview::default()
            }],
            ..Overview::default()
        }));
        screen
    }

    fn drawn(screen: &mut TopScreen, width: u16, height: u16, styles: TopStyles) -> (String, Vec<Color>) {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, screen, &styles)).unwrap();
        let buffer = terminal.backend().buffer();
        let text = buffer.content().chunks(usize::from(width));
        let text = text.map(|row| row.iter().map(Cell::symbol).collect::<String>() + "\n").collect();
        (text, buffer.content().iter().map(|cell| cell.fg).collect())
    }

    #[test]
    fn a_narrow_terminal_has_what_matters_and_a_wide_one_more() {
        let styles = TopStyles::new(true);
        let (narrow, _) = drawn(&mut screen(), 60, 24, styles);
        for part in [
            "archive logs-2222222",
            "! access_denied",
            "66 min",
            "2.4 MiB/s",
            "~ late",
            "fix: allow it",
            "q quit",
        ] {
            assert!(narrow.contains(part), "{part} is not in\n{narrow}");
        }
        assert!(!narrow.contains("BILLED/DAY"), "{narrow}");
        let (wide, _) = drawn(&mut screen(), 140, 30, styles);
        for part in ["logs-222222222222", "222222222222", "BILLED/DAY", "203 GiB", "1.010", "4.8 MiB"] {
            assert!(wide.contains(part), "{part} is not in\n{wide}");
        }
        // A quarter of a screen still tells each state, and what to do.
        let (narrowest, _) = drawn(&mut screen(), 40, 20, styles);
        for part in ["! access_denied", "~ late", "66 min", "fix: allow it", "q quit  ? help"] {
            assert!(narrowest.contains(part), "{part} is not in\n{narrowest}");
        }
        for text in [narrowest, narrow, wide] {
            assert!(!text.contains('\u{1b}'), "{text}");
        }
        // It is of no use, and does no harm.
        for (width, height) in [(1, 1), (10, 3), (20, 5)] {
            drawn(&mut screen(), width, height, styles);
        }
    }

    #[test]
    fn a_source_that_is_held_up_names_the_sink_and_when_it_is_chosen_the_fix() {
        let mut screen = screen();
        let hold = SourceHold {
            sink: "archive".to_owned(),
            stream: "logs".to_owned(),
            state: DestinationState::Held,
            reason: Some("access_denied".to_owned()),
            fix: Some("allow this".to_owned()),
            is_everywhere: true,
            ..SourceHold::default()
        };
        screen.overview.iter_mut().flat_map(|all| &mut all.sources).for_each(|source| {
            source.held_by = Some(hold.clone());
        });
        let (text, _) = drawn(&mut screen, 40, 20, TopStyles::new(false));
        assert!(text.contains("! held: archive") && !text.contains("allow this"), "{text}");
        screen.pane = TopPane::Sources;
        let (text, _) = drawn(&mut screen, 60, 24, TopStyles::new(false));
        for part in ["fix: allow this", "! held by archive (logs): access_denied"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn without_colour_signs_and_weight_tell_the_same() {
        let (text, colours) = drawn(&mut screen(), 80, 24, TopStyles::new(false));
        assert!(text.contains("! access_denied"), "{text}");
        assert!(colours.iter().all(|colour| *colour == Color::Reset));
        let (_, colours) = drawn(&mut screen(), 80, 24, TopStyles::new(true));
        assert!(colours.contains(&Color::Red));
    }

    #[test]
    fn a_daemon_that_does_not_answer_is_told_from_one_that_has_nothing_to_do() {
        let mut screen = TopScreen::new("http://127.0.0.1:1");
        screen.take(Err(std::io::Error::other("connection refused")));
        let (text, _) = drawn(&mut screen, 80, 24, TopStyles::new(false));
        assert!(text.contains("! http://127.0.0.1:1: connection refused"), "{text}");
        screen.take(Ok(Overview { sinks: vec![SinkOverview::default()], ..Overview::default() }));
        let (text, _) = drawn(&mut screen, 80, 24, TopStyles::new(false));
        assert!(text.contains("nothing was sent yet"), "{text}");
    }

    #[test]
    fn the_help_names_every_key() {
        let mut screen = screen();
        screen.shows_help = true;
        let (text, _) = drawn(&mut screen, 60, 24, TopStyles::new(false));
        for part in ["sort: trouble, rate, oldest, name", "pause, go on", "quit (also Esc, Ctrl-C)"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let (text, _) = drawn(&mut screen, 40, 20, TopStyles::new(false));
        for part in ["trouble, rate, oldest,", "name", "Esc ends it", "last 10 seconds"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn what_to_do_is_seen_however_long_what_is_wrong_is() {
        let mut screen = screen();
        if let Some(overview) = &mut screen.overview {
            for destination in overview.sinks.iter_mut().flat_map(|sink| &mut sink.destinations) {
                destination.issue = destination.issue.as_ref().map(|issue| issue.repeat(20));
            }
        }
        let (text, _) = drawn(&mut screen, 80, 24, TopStyles::new(false));
        assert!(text.contains("fix: allow it") && text.contains("! firehose:PutRecordBatch"), "{text}");
    }
}
