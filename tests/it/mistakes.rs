//! What is said of wrong configurations: the table of `tests/config/mistakes.txt`.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::moto::root;
use crate::world::World;

const GOOD: &str = "[sources.app]\ntype = \"stdin\"\n[sinks.out]\ntype = \"directory\"\npath = \"o\"\n";
const GOOD_YAML: &str =
    "sources:\n  app:\n    type: stdin\nsinks:\n  out:\n    type: directory\n    path: o\n";

/// One wrong configuration.
#[derive(Default)]
struct Mistake {
    name: String,
    /// Everything up to what is said.
    text: String,
    files: Vec<(String, Vec<u8>)>,
    variables: Vec<(String, String)>,
    command: Option<String>,
    said: String,
}

impl Mistake {
    fn parsed(text: &str) -> Self {
        let (name, rest) = text.split_once('\n').unwrap();
        let (before, said) = rest.split_once("@said\n").unwrap_or((rest, ""));
        let mut mistake = Self {
            name: name.to_owned(),
            text: format!("== {name}\n{before}"),
            said: said.to_owned(),
            ..Self::default()
        };
        for line in before.lines() {
            mistake.line(line);
        }
        mistake
    }

    fn line(&mut self, line: &str) {
        let (word, value) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "@file" => self.files.push((value.to_owned(), Vec::new())),
            "@raw" => {
                let (name, digits) = value.split_once(' ').unwrap();
                let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
                self.files.push((name.to_owned(), (0..digits.len()).step_by(2).map(byte).collect()));
            }
            "@env" => {
                let (name, value) = value.split_once('=').unwrap();
                self.variables.push((name.to_owned(), value.to_owned()));
            }
            "@command" => self.command = Some(value.to_owned()),
            _ => {
                let text = match word {
                    "@good" => GOOD,
                    "@good-yaml" => GOOD_YAML,
                    _ => &format!("{line}\n"),
                };
                self.files.last_mut().unwrap().1.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// What the program says, but for the pipeline that it shows when there are only warnings.
    fn heard(&self) -> String {
        let world = World::new();
        fs::create_dir(world.path("logs.toml")).unwrap();
        for (name, bytes) in &self.files {
            fs::write(world.path(name), bytes).unwrap();
        }
        for (name, value) in &self.variables {
            world.env(name, value);
        }
        let names = self.files.iter().map(|(name, _)| name.as_str());
        let arguments: Vec<&str> = match &self.command {
            Some(command) => command.split(' ').collect(),
            None => std::iter::once("check").chain(names.flat_map(|name| ["-c", name])).collect(),
        };
        let output = world.run(&arguments, b"");
        let words = String::from_utf8(output.stderr).unwrap();
        let is_warning = output.status.code() == Some(0) && words.starts_with("warning: ");
        assert!(output.status.code() == Some(78) || is_warning, "{}: {words}", self.name);
        words
    }
}

fn path() -> PathBuf {
    root().join("tests/config/mistakes.txt")
}

#[test]
fn a_wrong_configuration_is_told_with_file_line_key_what_was_found_and_a_fix() {
    let text = fs::read_to_string(path()).unwrap();
    let (introduction, cases) = text.split_once("\n== ").unwrap();
    let mistakes: Vec<Mistake> = cases.split("\n== ").map(Mistake::parsed).collect();
    let names: BTreeSet<&str> = mistakes.iter().map(|mistake| mistake.name.as_str()).collect();
    assert_eq!(names.len(), mistakes.len(), "each has a name of its own");
    assert!(mistakes.len() >= 60, "{} wrong configurations", mistakes.len());
    let heard: Vec<String> = mistakes.iter().map(Mistake::heard).collect();
    if std::env::var_os("STANDPIPE_TEST_GOLDEN").is_some_and(|is| is == "write") {
        let cases = mistakes.iter().zip(&heard).map(|(mistake, heard)| {
            let end = if mistake.text.ends_with('\n') { "" } else { "\n" };
            format!("{}{end}@said\n{heard}", mistake.text)
        });
        fs::write(path(), format!("{introduction}\n{}", cases.collect::<String>())).unwrap();
    }
    for (mistake, heard) in mistakes.iter().zip(&heard) {
        assert_eq!(heard.trim_end(), mistake.said.trim_end(), "{}", mistake.name);
    }
}
