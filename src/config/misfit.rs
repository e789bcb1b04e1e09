//! What is wrong with one value.

use super::key;
use super::shape::ValueShape;
use super::tree::{Node, ValueOrigin};

/// The sentence about a value that does not fit, and where in the value that is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Misfit {
    /// What was found, what is expected, and the fix.
    pub(super) text: String,
    /// The item at fault of a list, as the end of a dotted key.
    pub(super) item: String,
    /// Where the item, or the value, was written; none: where its key was.
    pub(super) origin: Option<ValueOrigin>,
    /// The byte at fault of a string.
    pub(super) byte: Option<usize>,
    /// What is expected, as far as that is said in other than words.
    pub(super) shape: Option<Box<ValueShape>>,
}

impl Misfit {
    pub(super) fn of(node: &Node, text: String) -> Self {
        Self { text, item: String::new(), origin: Some(node.origin.clone()), byte: None, shape: None }
    }

    /// The same, of an item of a list.
    pub(super) fn in_item(self, index: usize, node: &Node) -> Self {
        let item = format!("{}{}", key::item("", index), self.item);
        Self { item, origin: self.origin.or_else(|| Some(node.origin.clone())), ..self }
    }

    /// The same, without what `${..}` stands for in the value.
    pub(super) fn concealed(self, node: &Node) -> Self {
        Self { text: node.conceal(self.text), ..self }
    }

    /// The same, which says of what shape the value has to be.
    pub(super) fn shaped(self, shape: ValueShape) -> Self {
        Self { shape: Some(Box::new(shape)), ..self }
    }

    pub(super) fn at_byte(self, byte: Option<usize>) -> Self {
        Self { byte, ..self }
    }
}

impl From<String> for Misfit {
    fn from(text: String) -> Self {
        Self { text, item: String::new(), origin: None, byte: None, shape: None }
    }
}

impl From<&str> for Misfit {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// What `parse` expects, as it says of a value that nothing takes.
pub(super) fn shape_of<T>(parse: impl FnOnce(&Node) -> Result<T, Misfit>) -> Option<ValueShape> {
    parse(&Node::broken()).err().and_then(|misfit| misfit.shape).map(|shape| *shape)
}
