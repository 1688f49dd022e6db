//! Published configurations, and which of their keys a loader used.
//!
//! Each key is asked for by the loader, listed as without effect, or reported in a note.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::without_effect::{Project, is_without_effect};
use crate::Error;
use crate::files::json::Object;
use crate::files::{Note, unsupported};

/// A configuration, or an object within one, that records which keys were asked for.
#[derive(Debug)]
pub(super) struct Config {
    project: Project,
    object: Object,
    /// The path to the object, each name with a dot.
    prefix: String,
    /// The keys of the whole configuration that were asked for.
    asked: Rc<RefCell<BTreeSet<String>>>,
}

impl Config {
    pub(super) fn read(path: &Path, project: Project) -> Result<Self, Error> {
        Ok(Self::new(Object::read(path)?, project))
    }

    /// Returns an empty configuration, for a model published without one.
    pub(super) fn absent(path: &Path, project: Project) -> Self {
        Self::new(Object::empty(path), project)
    }

    fn new(object: Object, project: Project) -> Self {
        Self {
            project,
            object,
            prefix: String::new(),
            asked: Rc::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.object.path()
    }

    /// Records a key, whatever its value.
    fn ask(&self, key: &str) {
        let path = format!("{}{key}", self.prefix);
        self.asked.borrow_mut().insert(path);
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.ask(key);
        self.object.get(key)
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, Error> {
        self.ask(key);
        self.object.text(key)
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        self.ask(key);
        self.object.flag(key)
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, Error> {
        self.ask(key);
        self.object.number(key)
    }

    pub(super) fn count(&self, key: &str) -> Result<Option<usize>, Error> {
        self.ask(key);
        self.object.count(key)
    }

    /// Returns an object within this one, which shares the record of keys.
    pub(super) fn object(&self, key: &str) -> Result<Option<Self>, Error> {
        self.ask(key);
        Ok(self.object.object(key)?.map(|object| Self {
            project: self.project,
            object,
            prefix: format!("{}{key}.", self.prefix),
            asked: Rc::clone(&self.asked),
        }))
    }

    pub(super) fn required<V>(&self, key: &str, value: Option<V>) -> Result<V, Error> {
        self.object
            .required(&format!("{}{key}", self.prefix), value)
    }

    /// Refuses a setting without a counterpart in this crate, and says why.
    pub(super) fn refuse<V>(&self, key: &str, value: &str, why: &str) -> Result<V, Error> {
        let reason = format!("{}{key} is {value}: {why}", self.prefix);
        Err(unsupported(self.path(), reason))
    }

    /// Returns a note for each key that was neither asked for nor is listed as without effect.
    pub(super) fn unread(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        self.account("", self.object.fields(), &mut notes);
        notes
    }

    fn account(&self, prefix: &str, fields: &Map<String, Value>, notes: &mut Vec<Note>) {
        for (key, value) in fields {
            let path = format!("{prefix}{key}");
            match value {
                Value::Object(inner) if !inner.is_empty() => {
                    self.account(&format!("{path}."), inner, notes);
                }
                _ if self.asked.borrow().contains(&path) => {}
                _ if is_without_effect(self.project, prefix, key) => {}
                _ => notes.push(Note::UnknownKey { key: path }),
            }
        }
    }
}
