//! The thread that writes: looks at the folder once, then takes job after job.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::format::{CHUNK, Code, Form, Name};
use super::place::Ours;
use super::{BodyKey, KeySource, Removed, Shared, State, clear_place};

/// Files written at a time; apps seldom fetch more large messages at once, and each costs a descriptor.
const WRITINGS: usize = 16;

/// What the thread is asked.
#[derive(Debug)]
pub(super) enum Job {
    Whole {
        key: BodyKey,
        body: Bytes,
        pop3_octets: u64,
    },
    Begin {
        id: u64,
        key: BodyKey,
        octets: u64,
        alive: Weak<()>,
    },
    Chunk {
        id: u64,
        chunk: Vec<u8>,
    },
    End {
        id: u64,
        pop3_octets: u64,
        alive: Arc<()>,
    },
    Look,
    Clear(oneshot::Sender<io::Result<Removed>>),
    Close(oneshot::Sender<()>),
    #[cfg(test)]
    Sync(oneshot::Sender<()>),
}

/// See the module.
pub(super) struct Writer {
    shared: Arc<Shared>,
    key: KeySource,
    writings: HashMap<u64, Writing>,
    /// For temporary names.
    serial: u64,
}

/// A file that is being written.
#[derive(Debug)]
struct Writing {
    file: File,
    path: PathBuf,
    complete: PathBuf,
    name: Name,
    code: Code,
    /// Octets of the body still to come.
    left: u64,
    place: u64,
    /// What the whole file will have.
    promised: u64,
    alive: Weak<()>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, key: KeySource) -> Self {
        Self { shared, key, writings: HashMap::new(), serial: 0 }
    }

    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        self.ready();
        while let Ok(job) = jobs.recv() {
            let octets = match &job {
                Job::Whole { body, .. } => body.len(),
                Job::Chunk { chunk, .. } => chunk.len(),
                _ => 0,
            };
            self.give_up_dead();
            self.serve(job);
            self.shared.queued.fetch_sub(octets as u64, Ordering::Relaxed);
        }
        self.give_up_all();
    }

    fn serve(&mut self, job: Job) {
        match job {
            Job::Whole { key, body, pop3_octets } => {
                let alive = Arc::new(());
                let written = self.begin(&key, body.len() as u64, Arc::downgrade(&alive));
                let Some(mut writing) = written else { return };
                let written = body
                    .chunks(CHUNK)
                    .try_for_each(|chunk| writing.write(&self.shared, chunk.to_vec()))
                    .and_then(|()| writing.finish(&self.shared, pop3_octets));
                self.settle(writing, written);
            }
            Job::Begin { id, key, octets, alive } => {
                if self.writings.len() < WRITINGS
                    && let Some(writing) = self.begin(&key, octets, alive)
                {
                    self.writings.insert(id, writing);
                }
            }
            Job::Chunk { id, chunk } => {
                let Some(writing) = self.writings.get_mut(&id) else { return };
                if let Err(error) = writing.write(&self.shared, chunk)
                    && let Some(writing) = self.writings.remove(&id)
                {
                    self.settle(writing, Err(error));
                }
            }
            Job::End { id, pop3_octets, alive: _alive } => {
                let Some(mut writing) = self.writings.remove(&id) else { return };
                let written = writing.finish(&self.shared, pop3_octets);
                self.settle(writing, written);
            }
            Job::Look => {}
            Job::Clear(reply) => {
                let _ = reply.send(self.clear());
            }
            Job::Close(reply) => {
                self.give_up_all();
                let _ = reply.send(());
            }
            #[cfg(test)]
            Job::Sync(reply) => {
                let _ = reply.send(());
            }
        }
    }

    /// The form of the files, once their key is there and the folder was looked at; a fault has been told.
    fn ready(&mut self) -> Option<Arc<Form>> {
        let now = self.shared.state.borrow().clone();
        let form = match now {
            State::Ready(form) => form,
            State::Starting | State::NoKey => match (self.key)() {
                Ok(Some(key)) => Arc::new(Form::sealed(&*key)),
                Ok(None) => Arc::new(Form::Plain),
                Err(fault) => {
                    self.shared.state.send_replace(State::NoKey);
                    self.shared.fail(&format!("the key that would seal them is not there: {fault}"));
                    return None;
                }
            },
        };
        let looked = if self.shared.looked.load(Ordering::Acquire) { Ok(()) } else { self.look(&form) };
        // Also where the folder could not be looked at: what is asked for by name may be read.
        self.shared.state.send_replace(State::Ready(form.clone()));
        looked.map_err(|error| self.shared.fail(&error)).ok()?;
        Some(form)
    }

    /// Takes in what is there; litter of a killed process, and what is of the other form, goes.
    fn look(&self, form: &Form) -> io::Result<()> {
        let place = &self.shared.place;
        let mut found = Vec::new();
        for seen in place.look()? {
            match seen.ours {
                Ours::Complete { name, sealed } if seen.is_file && sealed == form.is_sealed() => {
                    found.push((seen.modified, name, seen.octets));
                }
                // A folder of that name cannot be removed so, and is left.
                _ => drop(place.remove(&seen.path)),
            }
        }
        found.sort_unstable();
        {
            let mut index = self.shared.index();
            found.into_iter().for_each(|(_, name, octets)| index.add(name, octets));
        }
        self.shared.looked.store(true, Ordering::Release);
        loop {
            let excess = {
                let mut index = self.shared.index();
                index.excess().map(|name| (name, index.take_out(name)))
            };
            let Some((name, octets)) = excess else { return Ok(()) };
            self.remove(form, name, octets)?;
        }
    }

    fn remove(&self, form: &Form, name: Name, octets: u64) -> io::Result<()> {
        let removed = self.shared.place.remove(&self.shared.place.complete(name, form.is_sealed()));
        let mut index = self.shared.index();
        index.release(octets);
        if removed.is_err() {
            index.add(name, octets);
        }
        removed
    }

    /// A new file with its head, once there is room for all of it.
    fn begin(&mut self, key: &BodyKey, octets: u64, alive: Weak<()>) -> Option<Writing> {
        if self.shared.is_paused() {
            return None;
        }
        let form = self.ready()?;
        let promised = form.file_octets(key, octets)?;
        match self.make_room(&form, promised) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                self.shared.fail(&error);
                return None;
            }
        }
        let (head, code) = form.begin(key, octets).or_else(|| {
            self.shared.index().release(promised);
            None
        })?;
        let name = form.name(key);
        self.serial += 1;
        let path = self.shared.place.unfinished(name, self.serial);
        let created = self.shared.place.create(&path).and_then(|(mut file, folder_is_new)| {
            if folder_is_new {
                // Whatever was there before went with the old one.
                self.shared.index().clear();
            }
            self.shared.place.write(&mut file, &head).map(|()| file)
        });
        match created {
            Ok(file) => {
                let complete = self.shared.place.complete(name, form.is_sealed());
                Some(Writing { file, path, complete, name, code, left: octets, place: 0, promised, alive })
            }
            Err(error) => {
                self.shared.index().release(promised);
                self.shared.fail(&error);
                let _ = self.shared.place.remove(&path);
                None
            }
        }
    }

    fn make_room(&self, form: &Form, octets: u64) -> io::Result<bool> {
        loop {
            let oldest = {
                let mut index = self.shared.index();
                match index.promise(octets) {
                    Ok(Some(name)) => (name, index.take_out(name)),
                    Ok(None) => return Ok(true),
                    Err(_) => return Ok(false),
                }
            };
            self.remove(form, oldest.0, oldest.1)?;
        }
    }

    /// In place, or gone.
    fn settle(&mut self, writing: Writing, written: Result<(), Fault>) {
        let Writing { file, path, complete, name, promised, .. } = writing;
        drop(file);
        let written = written.and_then(|()| self.shared.place.rename(&path, &complete).map_err(Fault::Io));
        let mut index = self.shared.index();
        index.release(promised);
        if written.is_ok() {
            index.add(name, promised);
        }
        drop(index);
        match written {
            Ok(()) => return self.shared.works(),
            // Somebody took the folder away meanwhile: no fault of the disk, and the next file makes it anew.
            Err(Fault::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(Fault::Io(error)) => self.shared.fail(&error),
            Err(Fault::NotWhole) => {}
        }
        let _ = self.shared.place.remove(&path);
    }

    /// Nobody goes on with these.
    fn give_up_dead(&mut self) {
        let dead = self.writings.iter().filter(|(_, writing)| writing.alive.strong_count() == 0);
        let dead = dead.map(|(id, _)| *id).collect::<Vec<_>>();
        for id in dead {
            if let Some(writing) = self.writings.remove(&id) {
                self.settle(writing, Err(Fault::NotWhole));
            }
        }
    }

    fn give_up_all(&mut self) {
        for (_, writing) in std::mem::take(&mut self.writings) {
            self.settle(writing, Err(Fault::NotWhole));
        }
    }

    fn clear(&self) -> io::Result<Removed> {
        let removed = clear_place(&self.shared.place, false);
        match &removed {
            Ok(_) => drop(self.shared.index().clear()),
            // Some are gone and some are not: the folder knows which.
            Err(_) => {
                let place = &self.shared.place;
                let sealed = matches!(&*self.shared.state.borrow(), State::Ready(form) if form.is_sealed());
                let mut index = self.shared.index();
                let names = index.names().collect::<Vec<_>>();
                let gone = names.into_iter().filter(|name| !place.complete(*name, sealed).exists());
                gone.for_each(|name| index.remove(name));
            }
        }
        removed
    }
}

/// Why a file does not get its name.
#[derive(Debug)]
enum Fault {
    Io(io::Error),
    /// Given up, or not as long as was announced.
    NotWhole,
}

impl Writing {
    fn write(&mut self, shared: &Shared, mut chunk: Vec<u8>) -> Result<(), Fault> {
        self.left = self.left.checked_sub(chunk.len() as u64).ok_or(Fault::NotWhole)?;
        self.code.close(self.place, false, &mut chunk).ok_or(Fault::NotWhole)?;
        self.place += 1;
        shared.place.write(&mut self.file, &chunk).map_err(Fault::Io)
    }

    fn finish(&mut self, shared: &Shared, pop3_octets: u64) -> Result<(), Fault> {
        if self.left > 0 {
            return Err(Fault::NotWhole);
        }
        let mut last = pop3_octets.to_be_bytes().to_vec();
        self.code.close(self.place, true, &mut last).ok_or(Fault::NotWhole)?;
        shared.place.write(&mut self.file, &last).map_err(Fault::Io)
    }
}
