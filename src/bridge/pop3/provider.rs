//! The seam between the driver and `mailbox`: what a session asks for, so that tests can put in a scripted mailbox.

use std::sync::Arc;

use bytes::Bytes;

use crate::auth::{Credentials, Proof};
use crate::mail::{Account, Uid};
use crate::mailbox::{Body, Coming, Listing, Mailbox, Opening, Resources};
use crate::net::Connector;
use crate::proto::pop3::Maildrop;
use crate::upstream::UpstreamError;

/// Where mailboxes come from.
pub(super) trait Provider: Send + Sync {
    type Maildrop: Inbox;
    type Coming: Arriving<Self::Maildrop>;

    fn open(
        &self,
        account: Arc<Account>,
        credentials: Credentials,
        proof: Proof,
    ) -> impl Future<Output = Result<Opening<Self::Maildrop, Self::Coming>, UpstreamError>> + Send;
}

/// [`Coming`], call for call.
pub(super) trait Arriving<M>: Send {
    fn arrival(&mut self) -> impl Future<Output = Result<(M, Listing), UpstreamError>> + Send;
    fn leave(self) -> impl Future<Output = ()> + Send;
}

/// [`Mailbox`], call for call.
pub(super) trait Inbox: Send {
    type Body: Octets;

    fn retrieve(
        &mut self,
        uid: Uid,
        maildrop: &Maildrop,
    ) -> impl Future<Output = Result<Self::Body, UpstreamError>> + Send;
    fn look(
        &mut self,
        uid: Uid,
        lines: u32,
        maildrop: &Maildrop,
    ) -> impl Future<Output = Result<Bytes, UpstreamError>> + Send;
    fn vouch(&mut self, uid: Uid) -> impl Future<Output = Result<(), UpstreamError>> + Send;
    fn learnt(&mut self, uid: Uid, octets: u64);
    fn update(
        &mut self,
        seen: &[Uid],
        deleted: &[Uid],
    ) -> impl Future<Output = Result<(), UpstreamError>> + Send;
    fn keep_alive(&mut self) -> impl Future<Output = ()> + Send;
    fn leave(self) -> impl Future<Output = ()> + Send;
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// [`Body`], call for call.
pub(super) trait Octets: Send {
    fn octets(&self) -> u64;
    fn chunk(&mut self) -> impl Future<Output = Result<Option<Bytes>, UpstreamError>> + Send;
}

/// The real one.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) connector: Connector,
    pub(super) resources: Resources,
}

impl Provider for Upstream {
    type Maildrop = Mailbox;
    type Coming = Coming;

    async fn open(
        &self,
        account: Arc<Account>,
        credentials: Credentials,
        proof: Proof,
    ) -> Result<Opening, UpstreamError> {
        let (connector, resources) = (self.connector.clone(), self.resources.clone());
        Mailbox::open(connector, account, credentials, Some(proof), resources).await
    }
}

impl Arriving<Mailbox> for Coming {
    async fn arrival(&mut self) -> Result<(Mailbox, Listing), UpstreamError> {
        Coming::arrival(self).await
    }

    async fn leave(self) {
        Coming::leave(self).await;
    }
}

impl Inbox for Mailbox {
    type Body = Body;

    async fn retrieve(&mut self, uid: Uid, maildrop: &Maildrop) -> Result<Body, UpstreamError> {
        Mailbox::retrieve_and_learn(self, uid, maildrop).await
    }

    async fn look(&mut self, uid: Uid, lines: u32, maildrop: &Maildrop) -> Result<Bytes, UpstreamError> {
        Mailbox::look(self, uid, lines, maildrop).await
    }

    async fn vouch(&mut self, uid: Uid) -> Result<(), UpstreamError> {
        Mailbox::vouch(self, uid).await
    }

    fn learnt(&mut self, uid: Uid, octets: u64) {
        Mailbox::learnt(self, uid, octets);
    }

    async fn update(&mut self, seen: &[Uid], deleted: &[Uid]) -> Result<(), UpstreamError> {
        Mailbox::update(self, seen, deleted).await
    }

    async fn keep_alive(&mut self) {
        Mailbox::keep_alive(self).await;
    }

    async fn leave(self) {
        Mailbox::leave(self).await;
    }

    async fn close(self) {
        Mailbox::close(self).await;
    }
}

impl Octets for Body {
    fn octets(&self) -> u64 {
        Body::octets(self)
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        Body::chunk(self).await
    }
}
