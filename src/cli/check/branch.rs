//! What `check` shows, as a tree.

/// A line of the tree, and the lines below it.
pub(super) struct Branch {
    pub(super) line: String,
    pub(super) below: Vec<Self>,
}

impl Branch {
    pub(super) fn leaf(line: impl Into<String>) -> Self {
        Self { line: line.into(), below: Vec::new() }
    }

    pub(super) fn shown(&self) -> String {
        let mut text = format!("{}\n", self.line);
        self.show_below("", &mut text);
        text
    }

    fn show_below(&self, margin: &str, text: &mut String) {
        for (index, branch) in self.below.iter().enumerate() {
            let is_last = index + 1 == self.below.len();
            let (fork, stem) = if is_last { ("└── ", "    ") } else { ("├── ", "│   ") };
            text.extend([margin, fork, &branch.line, "\n"]);
            branch.show_below(&format!("{margin}{stem}"), text);
        }
    }
}
