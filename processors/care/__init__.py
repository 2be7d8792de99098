"""Who is cared for, when and by whom."""
