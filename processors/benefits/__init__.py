"""Benefits as entitlements: what a policy gives, what is kept of it, what it comes to."""
