"""Why a version is, or is not, there: one sentence for each situation, who must act, and what it rests on."""
