//! Where the keys of a YAML file stand.

use std::ops::Range;

use yaml_rust2::parser::{Event as YamlEvent, MarkedEventReceiver, Parser};
use yaml_rust2::scanner::{Marker, ScanError, TScalarStyle};

use super::fault::{Spots, SyntaxFault, twice, word_at};
use crate::config::document::{Spot, line_around};
use crate::config::key::{item, join, may_be_secret};

pub(super) fn find(text: &str) -> Result<Spots, SyntaxFault> {
    let mut finder = YamlFinder::new(text);
    let read = Parser::new_from_str(text).load(&mut finder, true);
    match (finder.fault, read) {
        (Some(fault), _) => Err(fault),
        (None, Err(error)) => Err(fault(text, &finder.lines, &error)),
        (None, Ok(())) => Ok(finder.spots),
    }
}

struct YamlFinder<'a> {
    text: &'a str,
    /// Where lines begin.
    lines: Vec<usize>,
    spots: Spots,
    /// The collections around what comes next.
    around: Vec<YamlFrame>,
    n_documents: usize,
    fault: Option<SyntaxFault>,
}

enum YamlFrame {
    /// Its key, and the name of what comes next.
    Map(String, Option<(String, Range<usize>)>),
    /// Its key, and the number of what comes next.
    List(String, usize),
    /// Something that has no key, within a key.
    Nameless,
}

impl<'a> YamlFinder<'a> {
    fn new(text: &'a str) -> Self {
        let ends = memchr::memchr_iter(b'\n', text.as_bytes()).map(|newline| newline + 1);
        let lines = [0].into_iter().chain(ends).collect();
        Self { text, lines, spots: Spots::new(), around: Vec::new(), n_documents: 0, fault: None }
    }

    /// The key of the value that begins here, and where that key stands; none for one that is a name itself.
    fn name(&mut self, value: &Range<usize>) -> Option<(String, Range<usize>)> {
        match self.around.last_mut() {
            None => Some((String::new(), value.clone())),
            Some(YamlFrame::Map(path, name)) => {
                let (name, at) = name.take()?;
                Some((join(path, &name), at))
            }
            Some(YamlFrame::List(path, index)) => {
                let key = item(path, *index);
                *index += 1;
                Some((key, value.clone()))
            }
            Some(YamlFrame::Nameless) => None,
        }
    }

    fn put(&mut self, key: String, at: Range<usize>, value: Range<usize>, is_scalar: bool) {
        if !key.is_empty() {
            self.spots.insert(key, Spot { key: at, value, is_scalar });
        }
    }

    fn collection(&mut self, start: usize, frame: impl Fn(String) -> YamlFrame) {
        let line = line_around(self.text, start);
        // The mark of a block of keys is the first `:`.
        let is_block = self.text.get(start..).is_some_and(|rest| rest.starts_with(':'));
        let indent = |line: &str| line.len() - line.trim_start_matches([' ', '-']).len();
        let start = if is_block { line.start + self.text.get(line.clone()).map_or(0, indent) } else { start };
        let value = start..line.end;
        let frame = match self.name(&value) {
            Some((key, at)) => {
                self.put(key.clone(), at, value, false);
                frame(key)
            }
            // A key that is a list or a table: the `config` crate refuses it.
            None => YamlFrame::Nameless,
        };
        self.around.push(frame);
    }

    fn scalar(&mut self, text: &str, style: TScalarStyle, start: usize) {
        let (value, is_whole) = scalar_range(self.text, text, style, start);
        if let Some((key, at)) = self.name(&value) {
            self.put(key, at, value, is_whole);
        } else if let Some(YamlFrame::Map(path, name)) = self.around.last_mut() {
            let key = join(path, text);
            if let Some(first) = self.spots.get(&key) {
                let first = Some(first.key.start);
                self.fault.get_or_insert_with(|| twice(self.text, value.clone(), key, first));
            }
            *name = Some((text.to_owned(), value));
        }
    }
}

impl MarkedEventReceiver for YamlFinder<'_> {
    fn on_event(&mut self, event: YamlEvent, mark: Marker) {
        let start = offset(self.text, &self.lines, &mark);
        match event {
            YamlEvent::DocumentStart => {
                self.n_documents += 1;
                if self.n_documents > 1 {
                    let why = "found a second document, expected one a file; remove the `---`".to_owned();
                    let at = start..start;
                    self.fault.get_or_insert(SyntaxFault { at, key: String::new(), why });
                }
            }
            YamlEvent::MappingStart(..) => self.collection(start, |key| YamlFrame::Map(key, None)),
            YamlEvent::SequenceStart(..) => self.collection(start, |key| YamlFrame::List(key, 0)),
            YamlEvent::MappingEnd | YamlEvent::SequenceEnd => drop(self.around.pop()),
            YamlEvent::Scalar(text, style, ..) => self.scalar(&text, style, start),
            YamlEvent::Alias(_) => {
                let value = start..start + word_at(self.text, start).len();
                if let Some((key, at)) = self.name(&value) {
                    self.put(key, at, value, false);
                }
            }
            YamlEvent::Nothing | YamlEvent::StreamStart | YamlEvent::StreamEnd | YamlEvent::DocumentEnd => {}
        }
    }
}

/// Where a scalar stands, and whether that is all of it.
fn scalar_range(text: &str, value: &str, style: TScalarStyle, start: usize) -> (Range<usize>, bool) {
    let line = text.get(start..line_around(text, start).end).unwrap_or_default();
    let quote = match style {
        TScalarStyle::SingleQuoted => '\'',
        TScalarStyle::DoubleQuoted => '"',
        TScalarStyle::Plain if line.starts_with(value) => return (start..start + value.len(), true),
        TScalarStyle::Plain | TScalarStyle::Literal | TScalarStyle::Folded => return (start..start, false),
    };
    let mut escaped = false;
    for (index, c) in line.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            _ if c == quote => return (start..start + index + 1, true),
            _ => {}
        }
    }
    (start..start, false)
}

/// The place of a mark, whose columns are characters.
fn offset(text: &str, lines: &[usize], mark: &Marker) -> usize {
    let start = lines.get(mark.line().saturating_sub(1)).copied().unwrap_or(text.len());
    let line = text.get(start..).unwrap_or_default();
    start + line.char_indices().nth(mark.col()).map_or(line.len(), |(index, _)| index)
}

fn fault(text: &str, lines: &[usize], error: &ScanError) -> SyntaxFault {
    let mark = error.marker();
    let mut at = offset(text, lines, mark);
    let line = line_around(text, at);
    let before = text.get(line.start..at).unwrap_or_default();
    // A line's place is where its text begins; a tab's is the tab.
    let indent = text.get(line.clone()).unwrap_or_default();
    let indent = indent.len() - indent.trim_start().len();
    let is_indentation =
        error.info().contains("did not find expected") || error.info().contains("mapping values");
    if is_indentation || before.trim().is_empty() {
        at = line.start + indent;
    }
    if let Some(tab) = text.get(line.clone()).and_then(|line| line.get(..indent)?.find('\t')) {
        at = line.start + tab;
    }
    let key = key_at(text, line);
    let why = words(text, at, &key, error.info());
    let end = at + text.get(at..).unwrap_or_default().chars().next().map_or(0, char::len_utf8);
    SyntaxFault { at: at..end, key, why }
}

fn words(text: &str, at: usize, key: &str, info: &str) -> String {
    let rest = text.get(at..).unwrap_or_default();
    let first = rest.chars().next().unwrap_or_default();
    let in_quotes = |word: &str| {
        if may_be_secret(key) || word.is_empty() {
            "put the value in quotes".to_owned()
        } else {
            format!("put the value in quotes: `\"{word}\"`")
        }
    };
    match info {
        _ if rest.starts_with('\t') || info.contains("tab") => {
            "found a tab, expected spaces: YAML is indented by spaces alone".to_owned()
        }
        _ if info.contains("did not find expected key") || info.contains("'-' indicator") => {
            "found another indentation than that of the lines above, expected the same number of spaces".to_owned()
        }
        _ if info.contains("mapping values are not allowed") => {
            "found a `:` where no key may be, expected the indentation of the line above; a value that holds `: ` is put in quotes"
                .to_owned()
        }
        _ if info.contains("unexpected character") || info.contains("unknown anchor") => {
            let line = rest.get(..line_around(text, at).end.saturating_sub(at)).unwrap_or_default();
            format!("found a value that begins with `{first}`, which means something else in YAML; {}", in_quotes(line.trim_end()))
        }
        _ if info.contains("unknown escape") => {
            "found a `\\` that stands for nothing between `\"`, expected the text between `'`, where a `\\` is itself".to_owned()
        }
        _ if info.contains("quoted scalar") => "found no quote at the end of the text, expected one".to_owned(),
        _ if info.contains("']'") || info.contains("illegal placement of ':'") => {
            "found no `]` at the end of a list, expected one".to_owned()
        }
        _ if info.contains("'}'") => "found no `}` at the end of a table, expected one".to_owned(),
        _ => format!("cannot be parsed: {info}"),
    }
}

/// The dotted key that a line belongs to, by the indentation of the lines above.
fn key_at(text: &str, line: Range<usize>) -> String {
    let mut names = Vec::new();
    let mut within = usize::MAX;
    let lines: Vec<&str> = text.get(..line.end).unwrap_or(text).lines().collect();
    for line in lines.into_iter().rev() {
        let Some((indent, name)) = name_of(line) else { continue };
        if indent < within {
            within = indent;
            names.push(name);
        }
    }
    names.iter().rev().fold(String::new(), |path, name| join(&path, name))
}

/// The key that a line begins with, and how far it is indented.
fn name_of(line: &str) -> Option<(usize, &str)> {
    let item = line.trim_start().strip_prefix("- ").unwrap_or_else(|| line.trim_start()).trim_start();
    let (name, _) = item.split_once(':')?;
    let name = name.trim_matches(['"', '\'']);
    let is_plain = |c: char| c.is_alphanumeric() || "_-".contains(c);
    (!name.is_empty() && name.chars().all(is_plain)).then(|| (line.len() - item.len(), name))
}
