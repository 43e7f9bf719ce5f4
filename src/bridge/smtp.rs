//! The SMTP driver.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use super::Context;

/// Serves one app until it leaves. The greeting never waits for upstream.
pub async fn serve<S>(app: S, context: Context) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let _ = (app, context);
    unimplemented!()
}
