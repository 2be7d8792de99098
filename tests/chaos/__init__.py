"""Kill -9 of workers and servers, lost replies, hand-overs: what is told and kept is that of an undisturbed run."""
